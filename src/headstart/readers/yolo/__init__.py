"""YOLO: a YAML file and a text file an image."""
