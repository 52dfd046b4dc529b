"""What KubeRay's custom resources may say, as far as our manifests say it: a schema by hand of `ray.io/v1`."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]
TEXT: Schema = {"type": "string", "minLength": 1}
COUNT: Schema = {"type": "integer", "minimum": 0}
YES_OR_NO: Schema = {"type": "boolean"}
TEXTS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}  # a bare number is refused by the API
COMMAND: Schema = {"type": "array", "items": TEXT, "minItems": 1}
QUANTITY: Schema = {"anyOf": [COUNT, {"type": "string", "pattern": r"^[0-9]+(m|Ki|Mi|Gi|Ti)?$"}]}
QUANTITIES: Schema = {"type": "object", "additionalProperties": QUANTITY, "required": ["cpu", "memory"]}


def record(required: str = "", **fields: Schema) -> Schema:
    """Return the schema of an object that has these fields and no others."""
    return {"type": "object", "properties": fields, "additionalProperties": False, "required": required.split()}


def listed(item: Schema) -> Schema:
    return {"type": "array", "items": item, "minItems": 1}


KEY = record("name key", name=TEXT, key=TEXT)
RESOURCES = record("limits requests", limits=QUANTITIES, requests=QUANTITIES)
SECURITY = record(
    "allowPrivilegeEscalation runAsNonRoot capabilities seccompProfile",
    allowPrivilegeEscalation={"const": False},
    runAsNonRoot={"const": True},
    runAsUser={"type": "integer", "minimum": 1},
    capabilities=record("drop", drop={"const": ["ALL"]}),
    seccompProfile=record("type", type={"const": "RuntimeDefault"}),
)
PROBE = record(
    "exec",
    exec=record("command", command=COMMAND),
    initialDelaySeconds=COUNT,
    periodSeconds=COUNT,
    timeoutSeconds=COUNT,
    failureThreshold=COUNT,
)
PLAIN = {
    "name": TEXT,
    "image": TEXT,
    "env": listed(record("name value", name=TEXT, value=TEXT)),
    "envFrom": listed(record("secretRef", secretRef=record("name", name=TEXT, optional=YES_OR_NO))),
    "resources": RESOURCES,
    "securityContext": SECURITY,
    "livenessProbe": PROBE,
    "readinessProbe": PROBE,
    "lifecycle": record("preStop", preStop=record("exec", exec=record("command", command=COMMAND))),
    "ports": listed(record("name containerPort", name=TEXT, containerPort={"type": "integer", "maximum": 65535})),
    "volumeMounts": listed(record("name mountPath", name=TEXT, mountPath=TEXT)),
}
CONTAINER = record("name image resources securityContext", **PLAIN)
RAY_CONTAINER = record("name image resources securityContext livenessProbe readinessProbe", **PLAIN)


def pod(container: Schema) -> Schema:
    toleration = record("key operator", key=TEXT, operator=TEXT, effect=TEXT)
    memory = record("medium", medium={"const": "Memory"}, sizeLimit=QUANTITY)
    spec = record(
        "containers",
        containers=listed(container),
        restartPolicy={"enum": ["Never"]},
        automountServiceAccountToken=YES_OR_NO,
        tolerations=listed(toleration),
        nodeSelector=TEXTS,
        volumes=listed(record("name emptyDir", name=TEXT, emptyDir=memory)),
    )
    return record("spec", spec=spec)


GROUP = record(
    "groupName minReplicas maxReplicas labels rayStartParams template",
    groupName={"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"},
    minReplicas={"const": 0},
    replicas={"const": 0},
    maxReplicas={"type": "integer", "minimum": 1},
    labels=TEXTS,
    rayStartParams=TEXTS,
    template=pod(RAY_CONTAINER),
)
CLUSTER = record(
    "rayVersion authOptions enableInTreeAutoscaling autoscalerOptions headGroupSpec workerGroupSpecs",
    rayVersion=TEXT,
    authOptions=record("mode secretName", mode={"const": "token"}, secretName=TEXT),
    enableInTreeAutoscaling={"const": True},
    autoscalerOptions=record(
        "version",
        version={"const": "v2"},
        idleTimeoutSeconds=COUNT,
        upscalingMode={"enum": ["Default", "Conservative"]},
        securityContext=SECURITY,
    ),
    gcsFaultToleranceOptions=record(
        "redisAddress",
        redisAddress=TEXT,
        redisPassword=record("valueFrom", valueFrom=record("secretKeyRef", secretKeyRef=KEY)),
    ),
    headGroupSpec=record(
        "rayStartParams template",
        serviceType={"enum": ["ClusterIP"]},
        rayStartParams=TEXTS,
        template=pod(RAY_CONTAINER),
    ),
    workerGroupSpecs=listed(GROUP),
)
JOB = record(
    "entrypoint shutdownAfterJobFinishes rayClusterSpec",
    entrypoint=TEXT,
    runtimeEnvYAML=TEXT,
    shutdownAfterJobFinishes={"const": True},
    ttlSecondsAfterFinished=COUNT,
    backoffLimit=COUNT,
    activeDeadlineSeconds=COUNT,
    submissionMode={"enum": ["K8sJobMode", "HTTPMode", "SidecarMode"]},
    submitterPodTemplate=pod(CONTAINER),
    rayClusterSpec=CLUSTER,
)
SERVICE = record(
    "serveConfigV2 rayClusterConfig",
    upgradeStrategy=record("type", type={"enum": ["NewCluster", "NewClusterWithIncrementalUpgrade", "None"]}),
    rayClusterDeletionDelaySeconds=COUNT,
    serveConfigV2=TEXT,
    rayClusterConfig=CLUSTER,
)


def manifest(kind: str, spec: Schema) -> Schema:
    """Return the schema of a whole manifest of `kind`."""
    return record(
        "apiVersion kind metadata spec",
        apiVersion={"const": "ray.io/v1"},
        kind={"const": kind},
        metadata=record("name", name=TEXT),
        spec=spec,
    )


SCHEMAS = {
    "raycluster.yaml": manifest("RayCluster", CLUSTER),
    "rayjob.yaml": manifest("RayJob", JOB),
    "rayservice.yaml": manifest("RayService", SERVICE),
}
