from __future__ import annotations

import pytest

from mobilenet_tf.report.summary import accuracy_interval, number, summarise


def row_of(rows, quantization, kind="tflite"):
    return next(r for r in rows if r["quantization"] == quantization and r["format"] == kind)


def test_qat_file_is_compared_with_the_float_keras_model(run):
    summary = summarise(run)
    assert summary.headline.label == "int8 QAT"
    assert summary.reference.label == "Keras float32"
    assert summary.headline.delta_points == pytest.approx(-0.12)
    assert summary.headline.size_share == pytest.approx(917_960 / 3_339_840)
    assert summary.verdict.status == "pass"
    for figure in ("89.19 %", "89.31 %", "10,000 test images", "918.0 KB", "27.5 %", "0.399 ms"):
        assert figure in summary.verdict.sentence


@pytest.mark.parametrize(
    ("top1", "size_bytes", "expected"),
    [
        (0.8881, 917_960, ("pass", "Yes")),  # exactly half a point under
        (0.8880, 917_960, ("fail", "0.51 points under")),
        (0.8990, 917_960, ("pass", "Yes")),
        (0.8931, 1_001_952, ("pass", "30.0 %")),
        (0.8931, 1_005_292, ("fail", "Not small enough")),
        (0.8000, 1_005_292, ("fail", "9.31 points under the float model and too large")),
    ],
)
def test_verdict_follows_both_limits(run, rows, top1, size_bytes, expected):
    row_of(rows, "int8_qat").update(top1=top1, size_bytes=size_bytes)
    verdict = summarise(run).verdict
    status, words = expected
    assert verdict.status == status
    assert words in verdict.sentence


@pytest.mark.parametrize(
    ("size_bytes", "channels", "status"),
    [
        (280_615, 2_746, "pass"),  # a quarter of the float32 file, 15 x 2,746 and 24,000
        (280_616, 2_746, "fail"),
        (258_784, 2_746, "pass"),
        (258_784, 1_000, "fail"),
        (258_784, None, "fail"),  # above 30 %, and nothing known that would explain it
    ],
)
def test_scales_and_graph_do_not_count_against_a_network_of_few_weights(
    run, rows, size_bytes, channels, status
):
    row_of(rows, "float32", "tflite").update(size_bytes=861_700)  # a quarter: 215,425
    row_of(rows, "int8_qat").update(size_bytes=size_bytes, channels=channels)
    verdict = summarise(run).verdict
    assert verdict.status == status
    assert "or a quarter of it, 15 bytes a channel for scales" in verdict.basis


def test_the_int8_file_shown_is_chosen_by_kind_not_by_test_accuracy(run, rows):
    row_of(rows, "int8_ptq")["top1"] = 0.99
    assert summarise(run).headline.label == "int8 QAT"


def test_without_qat_the_ptq_file_is_judged(run, rows):
    rows[:] = [row for row in rows if row["quantization"] != "int8_qat"]
    del run["stages"]["qat"]
    summary = summarise(run)
    assert summary.headline.label == "int8 PTQ"
    assert summary.verdict.status == "fail"  # 0.58 points under


def test_without_a_keras_row_the_float32_file_is_the_reference(run, rows):
    rows[:] = [row for row in rows if row["format"] == "tflite"]
    assert summarise(run).reference.label == "float32"


def test_a_float_model_that_guesses_proves_nothing(run, rows):
    for row in rows:
        row["top1"] = 0.11
    verdict = summarise(run).verdict
    assert verdict.status == "unknown"
    assert "guessing" in verdict.sentence


@pytest.mark.parametrize("lacking", ["int8", "float"])
def test_nothing_to_compare_is_said(run, rows, lacking):
    rows[:] = [r for r in rows if r["quantization"].startswith("int8") is (lacking == "float")]
    verdict = summarise(run).verdict
    assert verdict.status == "unknown"
    assert f"no {lacking}" in verdict.sentence


def test_no_benchmark_reports_validation_so_far(run):
    del run["stages"]["benchmark"]
    verdict = summarise(run).verdict
    assert verdict.status == "unknown"
    assert "89.68 %" in verdict.sentence


def test_figures_that_are_no_numbers_count_as_not_measured(run, rows):
    row_of(rows, "int8_qat").update(top1=float("nan"), latency_median_ms="soon", size_bytes=True)
    row = summarise(run).headline
    assert (row.top1, row.latency_median_ms, row.size_bytes, row.delta_points) == (None,) * 4


def test_labels_stay_distinct(run, rows):
    rows.append({**row_of(rows, "int8_qat"), "io_type": "uint8"})
    rows.append(dict(row_of(rows, "float16")))
    labels = [row.label for row in summarise(run).artifacts]
    assert len(set(labels)) == len(labels)
    assert "int8 QAT, uint8" in labels


@pytest.mark.parametrize(
    ("value", "parsed"),
    [
        ("0.5", 0.5),
        (3, 3.0),
        ("", None),
        ("nan", None),
        ("1e999", None),
        (None, None),
        (True, None),
    ],
)
def test_number_reads_csv_text_and_refuses_the_rest(value, parsed):
    assert number(value) == parsed


def test_accuracy_interval_agrees_with_the_textbook():
    # Wilson's interval for 90 of 100, to four digits, computed by hand from the formula.
    low, high = accuracy_interval(0.9, 100)
    assert (round(low, 4), round(high, 4)) == (0.8256, 0.9448)
    assert accuracy_interval(1.0, 10)[1] == pytest.approx(1.0)
