"""What the application says of itself: an OpenAPI 3.1 document, and a page that shows it without another server."""

from __future__ import annotations

import html
from typing import Any

from jobs.serving.answering.guard import Guard
from jobs.serving.answering.messages import Response

TEXT = {"type": "string"}
CSP = b"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
REFUSALS = {
    "400": "The body cannot be read",
    "401": "A key is needed, or is not known",
    "403": "Without keys only this machine is answered",
    "404": "There is no such model or version",
    "405": "Not for this method",
    "408": "The request took too long",
    "413": "The body is over the cap",
    "415": "A type or an encoding that is not taken",
    "422": "What was sent cannot be classified",
    "429": "Too many requests: come again after Retry-After seconds",
    "500": "The model failed",
    "503": "No version is loaded",
}


def document(models: list[str], guard: Guard) -> dict[str, Any]:
    """Return the OpenAPI document of the application of models, its own first."""
    found: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": f"Espalier: {models[0]}", "version": "1"},
        "paths": _paths(models),
        "components": {
            "responses": {code: _error(text) for code, text in REFUSALS.items()},
            "schemas": {"Answer": _answer(), "Tensor": _tensor()},
        },
    }
    if guard.keys:
        found["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        found["security"] = [{"key": []}]
    return found


def _paths(models: list[str]) -> dict[str, Any]:
    of_model = [{"name": "name", "in": "path", "required": True, "schema": {"enum": models}}]
    version = {"name": "version", "in": "path", "required": True, "schema": TEXT}
    paths = {
        "/v1/classify": {"post": _classify()},
        "/v1/model": {"get": _get("The model's card")},
        "/v1/models/{name}": {"get": _get("The model's card: classes, compression, promises, limits", of_model)},
        "/v1/models/{name}/classify": {"post": {**_classify(), "parameters": of_model}},
        "/v2": {"get": _get("The server's metadata")},
        "/v2/health/live": {"get": _get("Whether the server lives", is_open=True)},
        "/v2/health/ready": {"get": _get("Whether the server is ready", is_open=True)},
        "/health": {"get": _get("Whether the server lives, and which version answers", is_open=True)},
    }
    for place, names in (("", of_model), ("/versions/{version}", [*of_model, version])):
        base = f"/v2/models/{{name}}{place}"
        paths[base] = {"get": _get("The model's inputs and outputs", names)}
        paths[f"{base}/ready"] = {"get": _get("Whether the model is ready", names)}
        paths[f"{base}/infer"] = {"post": _infer(names)}
    return paths


def _get(what: str, parameters: list[Any] | None = None, is_open: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = {"summary": what, "responses": _responses({"type": "object"})}
    if parameters:
        found["parameters"] = parameters
    if is_open:
        found["security"] = []
    return found


def _responses(schema: Any) -> dict[str, Any]:
    good = {"description": "Answered", "content": {"application/json": {"schema": schema}}}
    return {"200": good, **{code: {"$ref": f"#/components/responses/{code}"} for code in REFUSALS}}


def _classify() -> dict[str, Any]:
    both = {"image": {**TEXT, "contentEncoding": "base64"}, "text": TEXT}
    items = {"type": "array", "minItems": 1}
    one: list[dict[str, Any]] = [{"text": TEXT}, {"image": both["image"]}, both]
    many = [
        {"texts": {**items, "items": TEXT}},
        {"images": {**items, "items": both["image"]}},
        {"items": {**items, "items": {"anyOf": [_object(fields) for fields in one]}}},
    ]
    top = {"top": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 3}}
    bodies = [_object(fields, top) for fields in (*one, *many)]
    binary = {"schema": {"type": "string", "format": "binary"}}
    content: dict[str, Any] = {"application/json": {"schema": {"anyOf": bodies}}}
    content |= dict.fromkeys(("image/png", "image/jpeg", "application/octet-stream"), binary)
    predictions = {"type": "array", "items": {"$ref": "#/components/schemas/Answer"}}
    return {
        "summary": "Classify texts, images, or images with their texts; of many, each fails alone with `error`",
        "requestBody": {"required": True, "content": content},
        "responses": _responses(_object({"model": TEXT, "version": TEXT, "predictions": predictions})),
    }


def _infer(parameters: list[Any]) -> dict[str, Any]:
    tensors = {"type": "array", "items": {"$ref": "#/components/schemas/Tensor"}}
    body = _object({"inputs": tensors}, {"id": TEXT, "parameters": {"type": "object"}, "outputs": {"type": "array"}})
    answer = _object({"model_name": TEXT, "model_version": TEXT, "outputs": tensors}, {"id": TEXT})
    return {
        "summary": "Open Inference Protocol v2; tensors in JSON, or packed behind it (binary tensor data)",
        "parameters": parameters,
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": _responses(answer),
    }


def _object(fields: dict[str, Any], more: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {**fields, **(more or {})},
        "required": list(fields),
        "additionalProperties": False,
    }


def _answer() -> dict[str, Any]:
    top = {"type": "array", "items": _object({"label": TEXT, "probability": {"type": "number"}})}
    fields = {"label": {"type": ["string", "null"]}, "probability": {"type": "number"}, "top": top}
    return {"type": "object", "properties": {**fields, "rejected": {"type": "boolean"}, "error": TEXT}}


def _tensor() -> dict[str, Any]:
    shape = {"type": "array", "items": {"type": "integer"}}
    more: dict[str, Any] = {"data": {"type": "array"}, "parameters": {"type": "object"}}
    return _object({"name": TEXT, "datatype": TEXT, "shape": shape}, more)


def _error(text: str) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": _object({"error": TEXT})}}}


STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}code{font-size:.9em}"
    "table{border-collapse:collapse}td,th{border-top:1px solid #ccc;padding:.3rem .8rem .3rem 0;text-align:left}"
)


def page(models: list[str], guard: Guard) -> Response:
    """Return the document as a page: no script, nothing from elsewhere."""
    rows = [
        f"<tr><td><code>{method.upper()}</code><td><code>{html.escape(path)}</code><td>{html.escape(told['summary'])}"
        for path, methods in document(models, guard)["paths"].items()
        for method, told in methods.items()
    ]
    codes = "".join(f"<tr><td>{code}<td>{html.escape(text)}" for code, text in REFUSALS.items())
    key = "Every request but those of health carries <code>Authorization: Bearer KEY</code>." if guard.keys else ""
    caps = ", ".join(f"{name} {value:g}" for name, value in guard.limits.model_dump().items())
    body = (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{html.escape(models[0])}: interface</title><style>{STYLE}</style>"
        f"<h1>{html.escape(models[0])}</h1><p>{key} <a href=openapi.json>openapi.json</a> says it for programs.</p>"
        f"<table>{''.join(rows)}</table><h2>Statuses</h2><table>{codes}</table><h2>Limits</h2><p>{caps}</p></html>"
    )
    policy = [(b"content-security-policy", CSP)]
    return Response(200, body.encode(), b"text/html; charset=utf-8", policy)
