from __future__ import annotations

import json

import pytest

from mobilenet_tf.cli.main import run_command
from mobilenet_tf.models.catalog import model_names, model_table
from mobilenet_tf.models.cost import count_costs
from mobilenet_tf.models.variant import make_variant
from mobilenet_tf.recipe import ACTIVATIONS
from mobilenet_tf.zoo.shelf import load_cards

Capture = pytest.CaptureFixture[str]


def models(capsys: Capture, *arguments: str) -> list[dict]:
    assert run_command(["models", "--json", *arguments]) == 0
    rows: list[dict] = json.loads(capsys.readouterr().out)
    return rows


def test_the_table_has_a_row_for_each_alpha_and_resolution(capsys: Capture) -> None:
    rows = models(capsys)
    assert {row["model"] for row in rows} == set(model_names())
    for name in model_names():
        alphas = {row["alpha"] for row in rows if row["model"] == name}
        assert alphas == set(model_table(name).published_alphas)
    assert {row["resolution_px"]: row["stride_plan"] for row in rows} == {
        32: "cifar",
        224: "imagenet",
    }
    assert run_command(["models", "--all"]) == 0
    text = capsys.readouterr().out
    assert all(row["name"] in text and f"{row['parameters']:,}" in text for row in rows)
    assert max(map(len, text.splitlines())) <= 80
    assert (
        "alexnet (Krizhevsky 2012, section 3.5) does not take block_count, head_units, residual"
        in " ".join(text.split())
    )
    assert "  hard_swish: ADD, MUL and MUL" in text
    notes = {row["model"]: row["int8_notes"] for row in rows}
    assert notes["mobilenet_v3_small"].keys() - notes["alexnet"].keys() == {"squeeze_excitation"}
    assert notes["mobilenet_v3_small"].keys() >= set(ACTIVATIONS) - {"paper"}


def test_it_recommends_what_was_measured_and_names_every_family(capsys: Capture) -> None:
    assert run_command(["models"]) == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert max(map(len, lines)) <= 90
    assert len(lines) < 30
    measured = {card.name: card.int8_row for card in load_cards() if card.dataset == "cifar10"}
    chosen = {
        title: next(line for line in lines if line.startswith(title)).removeprefix(title).split()[0]
        for title in ("smallest", "balanced", "most accurate")
    }
    best = measured[chosen["most accurate"]]
    assert best.top1 == max(row.top1 for row in measured.values())
    sizes = {row.size_bytes for row in measured.values()}
    assert measured[chosen["smallest"]].size_bytes == min(sizes)
    assert measured[chosen["balanced"]].macs <= best.macs / 2
    assert all(name in text for name in model_names())


def test_the_paper_is_met_with_its_classes(capsys: Capture) -> None:
    v1 = ["--model", "mobilenet_v1"]
    (row,) = models(capsys, *v1, "--alpha", "1", "--resolution", "224", "--classes", "1000")
    assert (row["parameters"], row["macs"]) == (4_253_864, 568_740_352)


def test_options_choose_the_variants(capsys: Capture) -> None:
    arguments = ["--alpha", "0.35", "--alpha", "1.5", "--resolution", "48", "--resolution", "96"]
    rows = models(capsys, *arguments, "--stride-plan", "imagenet", "--model", "mobilenet_v1")
    assert [(row["resolution_px"], row["alpha"]) for row in rows] == [
        (48, 0.35),
        (48, 1.5),
        (96, 0.35),
        (96, 1.5),
    ]
    assert {row["stride_plan"] for row in rows} == {"imagenet"}


def test_the_first_blocks_alone(capsys: Capture) -> None:
    v1 = ["--model", "mobilenet_v1", "--alpha", "0.25", "--resolution", "32"]
    (row,) = models(capsys, *v1, "--block-count", "9")
    assert (row["name"], row["parameters"]) == ("v1_025_r32_b9", 77_370)
    (layered,) = models(capsys, "--layers", *v1, "--block-count", "9")
    assert layered["parameters"] == row["parameters"]


@pytest.mark.parametrize(
    ("options", "taken", "left_out"),
    [
        (["--block-count", "17"], "v2_100_r32_b17", ("mobilenet_v1", "alexnet")),
        (["--alpha", "0.02"], "v1_002_r32", ("mobilenet_v2",)),
        (["--resolution", "8"], "v1_100_r8", ("alexnet",)),
    ],
)
def test_models_that_cannot_are_left_out_with_the_reason(
    capsys: Capture, options: list[str], taken: str, left_out: tuple[str, ...]
) -> None:
    asked = [*options, *([] if "--resolution" in options else ["--resolution", "32"])]
    assert run_command(["models", "--json", *asked]) == 0
    said = capsys.readouterr()
    rows = json.loads(said.out)
    assert taken in [row["name"] for row in rows]
    assert not {row["model"] for row in rows} & set(left_out)
    for name in left_out:
        assert any(
            line.startswith("left out: ") and name in line for line in said.err.splitlines()
        ), said.err


def test_layers_add_up_to_the_variant(capsys: Capture) -> None:
    (row,) = models(capsys, "--layers", "--alpha", "0.25", "--resolution", "32")
    cost = count_costs(
        make_variant("mobilenet_v1", alpha=0.25, resolution_px=32, classes=10, stride_plan="cifar")
    )
    assert [layer["name"] for layer in row["layers"]] == [layer.name for layer in cost.layers]
    for key in ("parameters", "macs", "int8_bytes"):
        assert sum(layer[key] for layer in row["layers"]) == row[key]
    assert run_command(["models", "--layers"]) == 0
    text = capsys.readouterr().out
    assert "v1_050_r32" in text
    assert "conv_pw_13" in text
    assert text.splitlines()[-1].startswith("total")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--alpha", "0"], "model.alpha is 0"),
        (["--alpha", "nan"], "model.alpha is nan"),
        (["--alpha", "-1"], "model.alpha is -1"),
        (["--resolution", "0"], "model.resolution_px is 0"),
        (["--resolution", "31.5"], "31.5"),
        (["--model", "mobilnet_v1"], "did you mean 'mobilenet_v1'"),
        (["--classes", "1"], "1 is not in the range"),
        (["--stride-plan", "imagnet"], "imagnet"),
        (["--model", "mobilenet_v1", "--block-count", "14"], "model.block_count is 14"),
        (
            ["--block-count", "99"],
            "model.block_count is 99",
        ),
        (["--block-count", "-1"], "model.block_count is -1"),
        (["--layers", "--alpha", "1", "--alpha", "0.5"], "give one --alpha, not 1.0, 0.5"),
    ],
)
def test_bad_requests_are_named(capsys: Capture, arguments: list[str], message: str) -> None:
    assert run_command(["models", *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""
