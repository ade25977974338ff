from __future__ import annotations

import pytest

from mobilenet_tf.report import format_stages
from mobilenet_tf.report.summary import summarise
from mobilenet_tf.report.tables import (
    Column,
    class_table,
    code_span,
    confusion_pairs,
    escape_markdown,
    format_table,
    signed,
    stage_columns,
    stage_rows,
)


def test_text_table_aligns_and_uses_short_titles():
    columns = [Column("name", align="left"), Column("size in KB", "KB")]
    text = format_table(columns, [("a", "1,000.5"), ("long name", "2.0")])
    assert text.splitlines() == [
        "name            KB",
        "---------  -------",
        "a          1,000.5",
        "long name      2.0",
    ]


def test_markdown_table_cannot_be_broken_by_a_cell():
    columns = [Column("class", align="left"), Column("file", align="left", code=True)]
    text = format_table(columns, [("a|b\n<b>*x*", "`c`|d")], "markdown")
    lines = text.splitlines()
    assert len(lines) == 3
    assert lines[2] == r"| a\|b &lt;b&gt;\*x\* | `` `c`\|d `` |"


def test_terminal_table_is_free_of_control_characters():
    assert "\x1b" not in format_table([Column("class")], [("\x1b[31mred\x07",)])


def test_wide_characters_take_two_cells():
    text = format_table([Column("class", align="left"), Column("n")], [("\u732b", "1")])
    assert text.splitlines()[2] == "\u732b       1"


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match="2 cells in a table of 1"):
        format_table([Column("one")], [("a", "b")])


def test_stage_rows_round_and_compare(run):
    rows = {row[0]: row for row in stage_rows(summarise(run).artifacts)}
    assert rows["int8 QAT"][1:] == (
        "89.19",
        "-0.12",
        "918.0",
        "27.5",
        "0.399",
        "0.418",
        "3.4",
    )
    assert rows["float32"][2:5] == ("0.00", "3,339.8", "100.0")


def test_stage_table_fits_eighty_ascii_characters(run):
    text = format_stages(run)
    table = text.split("\n\n", maxsplit=1)[0]
    assert all(len(line) < 80 for line in table.splitlines())
    assert text.isascii()
    assert text.splitlines()[-1].startswith("Yes")


def test_top5_has_a_column_only_where_measured(run, make_run):
    titles = [column.title for column in stage_columns(summarise(run).artifacts)]
    assert "top-5 %" not in titles
    many = summarise(make_run(100)).artifacts
    titles = [column.title for column in stage_columns(many)]
    assert stage_rows(many)[0][titles.index("top-5 %")] == "98.31"


def test_large_models_are_given_in_megabytes(run, rows):
    rows[2]["size_bytes"] = 17_000_000
    artifacts = summarise(run).artifacts
    assert "size MB" in [column.title for column in stage_columns(artifacts)]
    assert stage_rows(artifacts)[2][3] == "17.00"


def test_missing_figures_are_dashes(run, rows):
    rows[-1].update(peak_memory_bytes=None, latency_p90_ms=None, top1=None)
    assert stage_rows(summarise(run).artifacts)[-1][1:3] == ("-", "-")
    assert stage_rows(summarise(run).artifacts)[-1][-2:] == ("-", "-")


def test_class_table_names_the_largest_loss(run, rows):
    rows[0]["per_class"][3], rows[-1]["per_class"][3] = 0.80, 0.755
    table = class_table(summarise(run))
    assert table.note == "Largest loss in a class: cat, -4.5 points."
    assert table.rows[3] == ("cat", "1,000", "80.0", "75.5", "-4.5")


def test_class_table_of_many_classes_keeps_the_worst(make_run):
    run = make_run(100)
    rows = run["stages"]["benchmark"]["metrics"]["rows"]
    rows[-1]["per_class"][42] = 0.1
    table = class_table(summarise(run))
    assert len(table.rows) == 10
    assert table.rows[0][0] == "kind 42"


def test_class_table_without_a_float_model_shows_the_file_alone(run, rows):
    rows[:] = rows[-1:]
    table = class_table(summarise(run))
    assert [column.title for column in table.columns] == ["class", "images", "int8 QAT %"]


def test_confusion_pairs_are_the_most_frequent_mistakes(run, rows):
    rows[-1]["confusion"][3][5] = 400
    table = confusion_pairs(summarise(run))
    assert table.rows[0][:3] == ("cat", "dog", "400")
    assert len(table.rows) == 5


def test_classes_without_names_are_numbered(run):
    run["stages"]["benchmark"]["metrics"]["classes"] = ["plane"]
    assert [row[0] for row in class_table(summarise(run)).rows[:2]] == ["plane", "class 1"]


def test_zero_has_no_sign():
    assert [signed(value) for value in (0.001, -0.001, 0.5, -0.5)] == [
        "0.00",
        "0.00",
        "+0.50",
        "-0.50",
    ]


def test_markdown_escapes_keep_file_names_readable():
    assert escape_markdown("v1_050_r32") == "v1_050_r32"
    assert escape_markdown("_x_ [a](b)") == r"\_x\_ \[a\](b)"
    assert code_span("a``b") == "``` a``b ```"
