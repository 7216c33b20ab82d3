"""Options of examples in the help of several commands."""

__all__ = ["DEMO", "SCENES"]

DEMO = "-c recipes/spquant_vgg9.yaml -c recipes/overlays/embedded.yaml"
SCENES = "-c recipes/imsnn_yolov2_gen1.yaml -c recipes/overlays/scenes.yaml"
