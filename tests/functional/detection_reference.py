"""YOLO's first form once more, in loops over numpy's float64."""

import math

import numpy as np


def iou(a, b):
    """Overlap of two boxes (left, top, right, bottom)."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = area(a) + area(b) - width * height
    return width * height / union if union > 0 else 0.0


def area(box):
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def suppress(boxes, scores, groups, threshold):
    """Indices that greedy suppression keeps in one sample, the first of equal scores first."""
    kept = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        if scores[i] > -math.inf and all(
            groups[i] != groups[j] or iou(boxes[i], boxes[j]) <= threshold for j in kept
        ):
            kept.append(i)
    return kept


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def cell_numbers(output, grid, row, column):
    """The 5 B + K numbers of a cell of one sample's outputs."""
    each = 5 * grid.boxes + grid.classes
    start = (row * grid.columns + column) * each
    return output[start : start + each]


def cell_boxes(numbers, grid, row, column):
    """The B boxes of a cell, relative to the frame."""
    b = grid.boxes
    boxes = []
    for k in range(b):
        x, y, root_h, root_w = (numbers[part * b + k] for part in range(4))
        cx, cy = (column + x) / grid.columns, (row + y) / grid.rows
        w, h = root_w**2, root_h**2
        boxes.append((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2))
    return boxes


def loss_parts(outputs, boxes, labels, samples, grid, lamb, reduction):
    """The five parts for outputs [T, N, F]."""
    mean, b = outputs.mean(0), grid.boxes
    parts = {"centre": 0.0, "shape": 0.0, "confidence": 0.0}
    responsible, scores = set(), []
    for box, n in zip(boxes, samples, strict=True):
        cx, cy = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        row, column = math.floor(cy * grid.rows), math.floor(cx * grid.columns)
        numbers = cell_numbers(mean[n], grid, row, column)
        overlaps = [iou(box, found) for found in cell_boxes(numbers, grid, row, column)]
        k = int(np.argmax(overlaps))
        responsible.add((n, row, column, k))
        x, y = cx * grid.columns - column, cy * grid.rows - row
        parts["centre"] += (numbers[k] - x) ** 2 + (numbers[b + k] - y) ** 2
        height, width = box[3] - box[1], box[2] - box[0]
        parts["shape"] += (numbers[2 * b + k] - math.sqrt(height)) ** 2
        parts["shape"] += (numbers[3 * b + k] - math.sqrt(width)) ** 2
        parts["confidence"] += (sigmoid(numbers[4 * b + k]) - overlaps[k]) ** 2
        scores.append([cell_numbers(step[n], grid, row, column)[5 * b :] for step in outputs])
    empty = [
        sigmoid(cell_numbers(mean[n], grid, row, column)[4 * b + k]) ** 2
        for n in range(outputs.shape[1])
        for row in range(grid.rows)
        for column in range(grid.columns)
        for k in range(b)
        if (n, row, column, k) not in responsible
    ]
    entropy, towards = [], []
    for steps, label in zip(scores, labels, strict=True):
        for step in steps:
            entropy.append(math.log(np.exp(step).sum()) - step[label])
            towards += [(score - 1.0) ** 2 for score in step]
    classes = (1 - lamb) * np.mean(entropy) + lamb * np.mean(towards)
    n = outputs.shape[1]
    if reduction == "sum":
        parts = {name: part / n for name, part in parts.items()}
        return {**parts, "no_object": sum(empty) / n, "classes": classes * len(boxes) / n}
    parts = {name: part / len(boxes) for name, part in parts.items()}
    return {**parts, "no_object": np.mean(empty), "classes": classes}
