"""A clean copy of the annotations of a data set. The source is never touched, and images are not copied."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.annotations import Annotations
from headstart.data.flags import CROWD
from headstart.data.sizes import with_sizes
from headstart.doctor.box_names import images_of_boxes
from headstart.doctor.checkup import Checkup
from headstart.errors import UsageError
from headstart.readers.coco.annotation_rows import OTHER_FLAGS
from headstart.store.files import write_text

DROPPED_IMAGES = frozenset(
    {"image-missing", "image-unreadable", "mask-unreadable", "mask-size-differs", "size-differs"}
)


def write_clean(checkup: Checkup, out: Path) -> list[str]:
    """Write what is sound into the new folder `out`, as lines that say what was done.

    Detection: COCO instances, one file a split, boxes clipped to their images, copies removed, flags and outlines
    kept. Otherwise a file list, `images.csv`. Image paths are relative to the source, which is named when the copy
    is opened: `open_dataset(out, images=source)`. Raises UsageError when `out` exists.
    """
    if out.exists():
        raise UsageError(f"{out}: exists already. Name a folder that is not there yet; nothing is ever overwritten.")
    table = checkup.table
    dropped = {f.path for finding in checkup.findings if finding.rule in DROPPED_IMAGES for f in finding.faults}
    bad_masks = {str(m): i for i in range(len(table)) if (m := table.mask_path(i)) is not None}
    lost = {i for i in range(len(table)) if str(table.image_path(i)) in dropped}
    lost |= {bad_masks[path] for path in dropped if path in bad_masks}
    clean = table.select(np.setdiff1d(np.arange(len(table)), np.array(sorted(lost), np.int64)))
    out.mkdir(parents=True)
    done = [f"images left out: {len(lost)} of {len(table)}", f"records left out in reading: {table.num_left_out}"]
    if "detect" in table.tasks:
        done += _write_coco(with_sizes(clean, "skip"), out)
    else:
        done += _write_list(clean, out)
    how = f'open_dataset("{out}", images="{table.place.root}")'
    lines = [f"Clean copy of {table.place.root} ({table.format})", *done, f"Open it with {how}"]
    log = [f"{finding.rule}: {fault}" for finding in checkup.findings for fault in finding.faults]
    write_text(out / "README.txt", "\n".join([*lines, "", "What was found:", *log]) + "\n")
    return lines


def _write_coco(table: Annotations, out: Path) -> list[str]:
    (out / "annotations").mkdir()
    categories = [{"id": k + 1, "name": name} for k, name in enumerate(table.box_classes)]
    image = images_of_boxes(table)
    sizes = table.sizes_hw[image].astype(np.float64)
    xyxy = table.boxes_xyxy
    ends = np.where(sizes.any(1, keepdims=True), np.tile(sizes[:, ::-1], 2), np.inf)
    clipped = np.clip(xyxy, 0, ends)
    keys = np.column_stack([image, table.box_labels, clipped])
    single = np.zeros(len(keys), bool)
    single[np.unique(keys, axis=0, return_index=True)[1]] = True
    sound = single & (clipped[:, 2:] > clipped[:, :2]).all(1)
    for split in sorted(set(table.splits.tolist())):
        rows = table.rows_of(split)
        images = [
            {
                "id": int(i) + 1,
                "file_name": table.image_name(int(i)),
                "width": int(table.sizes_hw[i, 1]),
                "height": int(table.sizes_hw[i, 0]),
            }
            for i in rows
            if table.boxes_known[i]
        ]
        chosen = np.flatnonzero(sound & np.isin(image, rows))
        annotations = [_coco_box(table, int(k), int(image[k]), clipped[k]) for k in chosen]
        whole = {"images": images, "annotations": annotations, "categories": categories}
        path = out / "annotations" / f"instances_{split or 'all'}.json"
        write_text(path, json.dumps(whole))
    changed = int((np.abs(clipped - xyxy) > 1e-9).any(1).sum())
    return [
        f"boxes clipped at the border: {changed}",
        f"copies of boxes removed: {int((~single).sum())}",
        f"boxes kept: {int(sound.sum())}, as COCO instances in {out / 'annotations'}",
    ]


def _coco_box(table: Annotations, row: int, image: int, box: np.ndarray) -> dict[str, Any]:
    x1, y1, x2, y2 = (float(v) for v in box)
    flags = int(table.box_flags[row])
    more: dict[str, Any] = {key: 1 for key, bit in OTHER_FLAGS.items() if flags & bit}
    outline = table.outline(row)
    if outline and outline[0] == "polygons":
        more["segmentation"] = [ring.tolist() for ring in outline[1]]
    elif outline:
        more["segmentation"] = {"counts": outline[1].decode("ascii"), "size": list(table.size_hw(image))}
    areas = table.box_areas
    area = float(areas[row]) if areas is not None else (x2 - x1) * (y2 - y1)
    return {
        "id": row + 1,
        "image_id": image + 1,
        "category_id": int(table.box_labels[row]) + 1,
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": area,
        "iscrowd": int(bool(flags & CROWD)),
        **more,
    }


def _write_list(table: Annotations, out: Path) -> list[str]:
    text = io.StringIO()
    writer = csv.writer(text)
    masks = any(table.mask_paths)
    writer.writerow(["path", "label", "split", *(["mask"] if masks else [])])
    for i in range(len(table)):
        label = int(table.image_labels[i])
        name = table.image_classes[label] if label >= 0 else ""
        row = [table.image_name(i), name, str(table.splits[i])]
        writer.writerow([*row, *([str(table.mask_paths[i])] if masks else [])])
    write_text(out / "images.csv", text.getvalue())
    return [f"images kept: {len(table)}, as a list in {out / 'images.csv'}"]
