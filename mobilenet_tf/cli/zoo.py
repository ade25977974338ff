"""`mtf zoo`: the trained models that ship, their cards, and adding one."""

from __future__ import annotations

from pathlib import Path

import click

from mobilenet_tf.cli import options
from mobilenet_tf.cli.completion import complete_zoo
from mobilenet_tf.system import terminal


@click.group(
    cls=options.Group,
    by_name="mtf zoo show",
    invoke_without_command=True,
    short_help="List the trained models that ship.",
)
@options.markdown_option
@options.json_option
@click.pass_context
def command(ctx: click.Context, markdown: bool, as_json: bool) -> None:
    """List the trained models that ship: cost, accuracy, size, latency.

    You can pass a model name instead of a file to mtf predict and mtf audit, and to
    mobilenet_tf.create_model in Python.

    \b
    Example:
      mtf zoo
      mtf zoo show cifar10_v1_050_r32
      mtf predict cifar10_v1_050_r32 cat.jpg
    """
    from mobilenet_tf.zoo.folder import restore_models
    from mobilenet_tf.zoo.shelf import load_cards, zoo_folder

    restore_models(zoo_folder())
    if ctx.invoked_subcommand is not None:
        if markdown or as_json:
            raise click.UsageError(
                f"{'--json' if as_json else '--markdown'} belongs to the list of models; options of"
                f" {ctx.invoked_subcommand} come after it",
                ctx,
            )
        return
    from mobilenet_tf.zoo.page import describe_card, format_cards

    cards = load_cards()
    if as_json:
        rows = []
        for card in cards:
            path = zoo_folder() / card.name
            files = {key: str(path / getattr(card, key)) for key in ("tflite", "weights")}
            rows.append(describe_card(card) | files)
        terminal.echo_json(rows)
    elif not cards:
        terminal.echo("no models here; add a finished run with mtf zoo add RUN")
    elif markdown:
        terminal.echo_block(format_cards(cards, "markdown"))
    else:
        terminal.echo_block(f"{format_cards(cards)}\n\nFiles: {zoo_folder()}")


@command.command(short_help="Show the card of a model.")
@click.argument("name", shell_complete=complete_zoo)
@options.markdown_option
@options.json_option
def show(name: str, markdown: bool, as_json: bool) -> None:
    """Show the card of model NAME: accuracy, size, latency, input and output, files, how to use it.

    --markdown gives the whole model card, as a page.

    \b
    Example:
      mtf zoo show cifar10_v1_050_r32
      mtf zoo show cifar10_v1_050_r32 --markdown
    """
    from mobilenet_tf.zoo.page import format_page, format_short_card
    from mobilenet_tf.zoo.shelf import load_card, zoo_folder

    card = load_card(name)
    if as_json:
        terminal.echo_json(card)
    elif markdown:
        terminal.echo_block(format_page(card).rstrip("\n"))
    else:
        terminal.echo_block(format_short_card(card, zoo_folder() / name))


@command.command(short_help="Check the files against their cards.")
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=complete_zoo)
@options.json_option
def verify(names: tuple[str, ...], as_json: bool) -> None:
    """Check that every file of model NAME, or of all models, is what its card says.

    The exit code is 1 at the first file whose SHA-256 differs.

    \b
    Example:
      mtf zoo verify
    """
    from mobilenet_tf.zoo.shelf import check_file, load_card, model_names

    checked = []
    for name in names or model_names():
        card = load_card(name)
        for file, record in card.files.items():
            check_file(card, file)
            checked.append({"model": name, "file": file, "sha256": record.sha256})
    if as_json:
        terminal.echo_json(checked)
        return
    for row in checked:
        terminal.echo(f"{row['sha256']}  {row['model']}/{row['file']}")
    terminal.echo(f"{len(checked)} files, every one what its card says")


@command.command(short_help="Add a finished run to the zoo.")
@options.run_argument
@click.option("--name", help="What it is called.  [default: DATASET_VARIANT]")
@click.option(
    "--out",
    type=options.FolderPath(),
    default=Path("artifacts/zoo"),
    help="Folder of the zoo.",
)
@options.data_dir_option
@click.option("--overwrite", is_flag=True, help="Replace the model of that name.")
@options.json_option
@options.verbosity
def add(
    *,
    run: Path,
    name: str | None,
    out: Path,
    data_dir: Path | None,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Add RUN, the folder of a finished mtf run, to the zoo.

    The int8 file that its export chose, its float weights rounded to float16, its recipe, and a
    card with everything that its stages recorded. The rounded weights are measured on the test
    images.

    \b
    Example:
      mtf zoo add artifacts/cifar10
    """
    from mobilenet_tf.runs.folder import RunFolder
    from mobilenet_tf.zoo.shelf import PAGE_FILE

    RunFolder(run).load_recipe()  # refuses what is no run before TensorFlow is loaded
    from mobilenet_tf.pipeline.shipping import ship_run

    with terminal.set_up(quiet=quiet, as_json=as_json):
        card = ship_run(RunFolder(run), out, name=name, data_dir=data_dir, overwrite=overwrite)
        if as_json:
            terminal.echo_json(card)
        else:
            terminal.echo(f"Card: {out / card.name / PAGE_FILE}")
            terminal.echo(f"Next: git add {out / card.name}")
