"""The text of messages on the pages."""

from decon3d.report import templating
from decon3d.report.recommendation import Recommendation
from decon3d.report.templating import render, with_code

MESSAGE = "Add `rl: {}` to `<methods>`."
SHOWN = "Add <code>rl: {}</code> to <code>&lt;methods&gt;</code>."


def test_what_stands_between_backticks_is_code_and_everything_is_escaped() -> None:
    assert with_code(MESSAGE) == SHOWN
    assert with_code("<b> and one ` alone") == "&lt;b&gt; and one ` alone"
    assert with_code(1.5) == "1.5"


def test_messages_recommendations_and_cells_are_shown_with_code() -> None:
    parts = templating._ENVIRONMENT.get_template("_figures.html.j2").module
    assert parts.sentences("Warnings", [MESSAGE] * 2, 1).count(SHOWN) == 2
    assert SHOWN in parts.plain_table(["name", "meaning"], [["a", MESSAGE]], "Guide")
    figure = {
        "title": "t",
        "caption": MESSAGE,
        "note": MESSAGE,
        "width": 2,
        "height": 1,
        "inches": 5,
        "data": "data:,x",
    }
    assert parts.drawings([figure]).count(SHOWN) == 2
    advice = Recommendation("signal", None, MESSAGE, None, {}, {}, {})
    assert SHOWN in render("summary.html.j2", dataset="d", advice=[advice], headline=[], blocks=[])
