"""Backbones, one file each, and the head with its regularisation. A new backbone is one file and one line here."""

from jobs.models.applications.efficientnet_b0 import EfficientNetB0
from jobs.models.applications.mobilenet_v2 import MobileNetV2
from jobs.models.applications.resnet50 import ResNet50, ResNet50V2
from jobs.models.backbone import Backbone
from jobs.models.bert import Bert
from jobs.models.embedding_bag import EmbeddingBag
from jobs.models.fusion import Fusion
from jobs.models.hub import Hub
from jobs.models.resnet import ResNet
from jobs.models.text_cnn import TextCnn

__all__ = [
    "Backbone",
    "Bert",
    "EfficientNetB0",
    "EmbeddingBag",
    "Fusion",
    "Hub",
    "MobileNetV2",
    "ResNet",
    "ResNet50",
    "ResNet50V2",
    "TextCnn",
]
