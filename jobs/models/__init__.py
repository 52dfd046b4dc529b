"""Backbones, one file each, and the head with its regularisation. A new backbone is one file and one line here."""

from jobs.models.backbone import Backbone
from jobs.models.fusion import Fusion
from jobs.models.hub import Hub
from jobs.models.resnet import ResNet
from jobs.models.text_cnn import TextCnn

__all__ = ["Backbone", "Fusion", "Hub", "ResNet", "TextCnn"]
