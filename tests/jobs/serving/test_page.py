"""The page to try a model on, in headless Chromium, against a replica's own application."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from cluster.folder import Folder
from jobs.artifacts import Dataset, Model
from jobs.data.rows import Pair
from jobs.models.model import ModelSpec, build, weights_of
from jobs.product import Product, golden_of, write_model
from jobs.runtime.classifier import Classifier, golden_rows
from jobs.serving.answering.app import App
from jobs.serving.keys import new_key
from jobs.serving.page import piece
from jobs.strategies import Single
from tests.jobs.serving.conftest import app_of, asked, listening
from tests.rig import TINY

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PHONE, DESK = {"width": 360, "height": 740}, {"width": 1200, "height": 800}
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="install chromium (Debian's package) to try the page in it")
pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


class Site:
    """Opens pages of applications, and notes what goes wrong on them: errors, and requests to anywhere else."""

    def __init__(self, browser: Any) -> None:
        self.wrong: list[str] = []
        self.held = ExitStack()
        self._browser = browser

    def __call__(self, app: App, viewport: dict[str, int] = DESK) -> Any:
        """Return the open page of an application, which is served for as long as the test takes."""
        origin = f"http://{self.held.enter_context(listening(app))}"
        page = self._browser.new_page(viewport=viewport)
        self.held.callback(page.close)
        page.on("console", lambda message: self.wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("request", lambda asked: None if asked.url.startswith(origin) else self.wrong.append(asked.url))
        page.goto(origin)
        return page


@pytest.fixture
def site(browser: Any) -> Iterator[Site]:
    opened = Site(browser)
    with opened.held:
        yield opened
    assert not opened.wrong


@pytest.fixture(scope="module")
def pair_model(pairs: Folder, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Return the folder of an untrained model of pairs; one class is named like markup."""
    root, dataset = tmp_path_factory.mktemp("pair"), Dataset.load(pairs)
    text = {"kind": "text_cnn", "vocabulary": 300, "length": 16, "width": 8, "filters": 8}
    spec = ModelSpec.model_validate({"backbone": {"kind": "fusion", "image": TINY, "text": text}})
    preprocess = spec.backbone.preprocess(dataset, root)
    classes = ["<img src=x onerror=alert(1)>", *dataset.classes[1:]]
    weights = weights_of(build(spec, preprocess, len(classes)))
    product = Product(spec, preprocess, classes, weights, Single(), golden_of(dataset), {})
    return write_model(Folder.parse(str(root / "out")), root, product, [], dataset).folder


def bars(page: Any) -> list[tuple[str, str, float]]:
    """Wait for the answer; return label, share as it is written, and how far its bar reaches, of each bar."""
    page.wait_for_selector(".bars li")
    found = []
    for item in page.query_selector_all(".bars li"):
        length = item.query_selector("progress").evaluate("bar => bar.value / bar.max")
        found.append((item.query_selector(".label").inner_text(), item.query_selector(".share").inner_text(), length))
    return found


def expected(model: Folder, item: Any) -> list[tuple[str, str, Any]]:
    top = Classifier(Model.load(model), model.path).classify([item])[0]["top"]
    return [(one["label"], f"{100 * one['probability']:.1f} %", pytest.approx(one["probability"])) for one in top]


def chosen(page: Any, image: bytes, name: str = "it's a digit.png") -> None:
    page.wait_for_selector("#card dt")
    page.set_input_files("#file", {"name": name, "mimeType": "image/png", "buffer": image})


@needs_browser
def test_an_image_gets_the_answer_the_file_gives_and_the_snippet_asks_the_same(
    site: Site, model: Folder, tmp_path: Path
) -> None:
    image = golden_rows(model.path)[0]
    assert isinstance(image, bytes)
    page = site(app_of(asked(model)))
    chosen(page, image)
    page.click("#submit")
    assert bars(page) == expected(model, image)
    assert " ms from this browser and back · version " in page.inner_text("#latency")
    assert page.inner_text("#name") == "digits"
    assert page.is_visible("#preview")
    assert page.is_hidden("#text-part")
    (tmp_path / "it's a digit.png").write_bytes(image)
    snippet = page.inner_text("#curl")
    done = subprocess.run(["bash", "-c", snippet], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["predictions"] == Classifier(Model.load(model), model.path).classify([image])


@needs_browser
def test_a_pair_is_asked_by_keyboard_alone_and_labels_are_no_markup(
    site: Site, pair_model: Folder, tmp_path: Path
) -> None:
    pair = golden_rows(pair_model.path)[0]
    assert isinstance(pair, Pair)
    page = site(app_of(asked(pair_model), name="pairs"))
    chosen(page, pair.image, "a.png")
    page.keyboard.press("Tab")
    page.keyboard.type(pair.text)
    page.keyboard.press("Tab")  # the file
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "submit"
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    found = bars(page)
    assert found == expected(pair_model, pair)
    assert "<img src=x onerror=alert(1)>" in page.inner_text("#card")
    (tmp_path / "a.png").write_bytes(pair.image)
    snippet = page.inner_text("#curl")
    done = subprocess.run(["bash", "-c", snippet], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert [one["label"] for one in json.loads(done.stdout)["predictions"][0]["top"]] == [
        label for label, _, _ in found
    ]


@needs_browser
@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
def test_nothing_is_wider_than_the_screen(site: Site, pair_model: Folder, viewport: dict[str, int]) -> None:
    page = site(app_of(asked(pair_model), name="a" * 60), viewport)
    page.wait_for_selector("#card dt")
    page.fill("#text", "word" * 200)
    assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]
    unnamed = "[...document.querySelectorAll('input,textarea,button,canvas')].filter(e => !e.hidden && e.offsetParent)"
    named = page.evaluate(f"{unnamed}.every(e => e.labels?.length || e.textContent || e.getAttribute('aria-label'))")
    assert named


@needs_browser
def test_what_is_wrong_is_said(site: Site, model: Folder) -> None:
    page = site(app_of(asked(model)))
    page.wait_for_selector("#card dt")
    page.click("#submit")
    page.wait_for_selector("#result .wrong")
    assert page.inner_text("#result") == "choose an image first"
    chosen(page, b"no image at all", "notes.png")
    page.wait_for_selector("text=is no image this browser can show")
    page.click("#submit")
    page.wait_for_selector("text=422: ")
    site.wrong.clear()  # the browser notes each answer of 422


@needs_browser
def test_a_page_whose_model_wants_a_key_asks_for_it(site: Site, model: Folder) -> None:
    secret, key = new_key("page")
    image = golden_rows(model.path)[0]
    assert isinstance(image, bytes)
    page = site(app_of(asked(model), keys=[key]))
    page.wait_for_selector("#key", state="visible")
    page.fill("#key", secret)
    page.keyboard.press("Tab")
    chosen(page, image)
    page.click("#submit")
    assert bars(page) == expected(model, image)
    assert secret not in page.inner_text("#curl")
    assert '-H "Authorization: Bearer $KEY"' in page.inner_text("#curl")
    site.wrong.clear()  # the browser notes the answer of 401


@needs_browser
def test_scripts_and_styles_from_anywhere_else_do_not_run(site: Site, model: Folder) -> None:
    page = site(app_of(asked(model)))
    page.wait_for_selector("#card dt")
    put = "const s = document.createElement('script'); s.append('window.ran = 1'); document.body.append(s)"
    page.evaluate(f"() => {{ window.ran = 0; try {{ {put} }} catch (error) {{}} }}")
    page.evaluate("() => document.body.setAttribute('style', 'color: red')")
    assert page.evaluate("window.ran") == 0
    assert page.evaluate("getComputedStyle(document.body).color") != "rgb(255, 0, 0)"
    site.wrong.clear()  # the browser notes what it refused


def got(url: str) -> tuple[int, dict[str, str], str]:
    """Return status, headers by lower-case name, and text."""
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return (
                answer.status,
                {name.lower(): value for name, value in answer.headers.items()},
                answer.read().decode(),
            )
    except urllib.error.HTTPError as error:
        return error.code, {}, ""


def test_the_page_names_its_own_files_alone_and_needs_no_key(model: Folder) -> None:
    _, key = new_key("page")
    with listening(app_of(asked(model), keys=[key])) as place:
        status, headers, text = got(f"http://{place}/")
        assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
        policy = headers["content-security-policy"]
        assert "unsafe" not in policy
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "://" not in text
        assert "style=" not in text
        for name in ("/page.js", "/page.css", "/icon.svg"):
            assert f'"{name}"' in text
            assert got(f"http://{place}{name}")[0] == 200
        assert got(f"http://{place}/v1/model")[0] == 401


def test_a_page_under_a_path_names_what_it_asks_under_it() -> None:
    body, kind, _ = piece("/", "/models/<digits>/")
    assert kind == b"text/html; charset=utf-8"
    for place in ('data-root="', 'href="', 'src="'):
        assert f"{place}/models/&lt;digits&gt;".encode() in body
