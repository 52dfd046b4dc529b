"""Backbones, one file each, and the head with its regularisation. A new backbone is one file and one line here."""

from jobs.models.backbone import Backbone

__all__ = ["Backbone"]

Backbone.found_in(
    {
        "bert": "jobs.models.bert",
        "efficientnet_b0": "jobs.models.applications.efficientnet_b0",
        "embedding_bag": "jobs.models.embedding_bag",
        "ensemble": "jobs.models.ensemble.ensemble",
        "fusion": "jobs.models.fusion",
        "hub": "jobs.models.hub",
        "mobilenet_v2": "jobs.models.applications.mobilenet_v2",
        "resnet": "jobs.models.resnet",
        "resnet50": "jobs.models.applications.resnet50",
        "resnet50_v2": "jobs.models.applications.resnet50",
        "text_cnn": "jobs.models.text_cnn",
    }
)
