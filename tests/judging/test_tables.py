"""Tables as people have them: read rightly with a note, or refused with path, row and advice."""

from pathlib import Path

import numpy as np
import pytest

from headstart.errors import DataError, UsageError
from headstart.judging.scores import Scores, read_scores

PLAIN = "data set,model,score\na,x,70.5\na,y,71\nb,x,60\nb,y,62.25\n"


@pytest.fixture
def table(tmp_path: Path):
    """Write a table and read it."""

    def read(content: str | bytes, columns=(), better=None, unit=None) -> Scores:
        path = tmp_path / "t.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_scores(path, columns, better, unit)

    return read


def test_a_plain_table(table) -> None:
    scores = table(PLAIN)
    assert (scores.datasets, scores.models) == (("a", "b"), ("x", "y"))
    assert scores.cells.tolist() == [[70.5, 71], [60, 62.25]]
    assert (scores.unit, scores.higher_is_better, scores.has_seeds, scores.notes) == ("percent", True, False, ())


@pytest.mark.parametrize(
    ("content", "note"),
    [
        ("\ufeff" + PLAIN, None),
        (PLAIN.replace("\n", "\r\n"), None),
        (PLAIN.replace(",", ", "), None),
        (PLAIN.replace("\n", "\n\n"), None),
        (PLAIN.replace("a,", '" a\n ",'), None),
        (PLAIN.replace(",", ";"), "columns are separated by semicolons"),
        (PLAIN.replace(",", "\t"), "columns are separated by tabs"),
        (PLAIN.replace(",", ";").replace(".", ","), "decimals are written with a comma"),
        (PLAIN.encode("utf-16"), "the text is UTF-16"),
        (PLAIN + "a,x,70.5\n", "1 rows repeat another one exactly and count once"),
        (PLAIN.replace("71", "71%"), "scores are written with a percent sign"),
        (PLAIN + "average,x,65\naverage,y,66\n", "left out as averages of the others: 'average'"),
        ("data set,x,y\na,70.5,71\nb,60,62.25\n", "a wide table: a row is a data set, each of 2 columns a model"),
        ("data set,x,y,Avg\na,70.5,71,70.75\nb,60,62.25,1\n", "left out as averages of the others: 'Avg'"),
        ("dataset,x,y,remark\na,70.5,71,good\nb,60,62.25,\n", "columns that are not read: 'remark'"),
        ("model,a,b\nx,70.5,60\ny,71,62.25\n", "a wide table: a row is a model, each of 2 columns a data set"),
        ("Datset,Method,mAP\na,x,70.5\na,y,71\nb,x,60\nb,y,62.25\n", "column 'Datset' is taken for the data set"),
        ("lr,data set,model,score\n1,a,x,70.5\n1,a,y,71\n1,b,x,60\n1,b,y,62.25\n", "columns that are not read: 'lr'"),
    ],
)
def test_it_is_read_rightly_and_said(table, content, note) -> None:
    scores = table(content)
    by_name = {(d, m): scores.cells[i, j] for i, d in enumerate(scores.datasets) for j, m in enumerate(scores.models)}
    assert by_name == {("a", "x"): 70.5, ("a", "y"): 71, ("b", "x"): 60, ("b", "y"): 62.25}
    assert note in scores.notes if note else scores.notes == ()


def test_names_in_an_old_encoding(table) -> None:
    scores = table(PLAIN.replace("a,", "Vögel,").encode("cp1252"))
    assert scores.datasets == ("Vögel", "b")
    assert "the text is not UTF-8 and is read as Windows-1252" in scores.notes


def test_seeds_images_and_groups(table) -> None:
    scores = table(
        "task,backbone,run,top-1,images,domain\n"
        'a,x,0,.5,"1,000",sky\na,x,1,.7,1000,sky\na,y,0,.4,,sky\nb,x,0,.6,50,sea\nb,y,0,nan,50,sea\n'
    )
    assert scores.values.shape == (2, 2, 2) and scores.cells[0, 0] == pytest.approx(0.6)
    assert np.isnan(scores.cells[1, 1]) and scores.repeats.tolist() == [[2, 1], [1, 0]]
    assert (scores.images.tolist(), scores.groups) == ([1000, 50], ("sky", "sea"))
    assert (scores.unit, scores.is_share, scores.has_seeds) == ("fraction", True, True)
    assert scores.notes == ("1 scores are blank",)


@pytest.mark.parametrize(("name", "better", "higher"), [("error", None, False), ("error", "higher", True)])
def test_which_way_is_better(table, name, better, higher) -> None:
    scores = table(PLAIN.replace("score", name), better=better)
    assert scores.higher_is_better == higher
    assert any("lower is better, by the name 'error'" in note for note in scores.notes) != higher


def test_columns_can_be_named(table) -> None:
    content = PLAIN.replace("data set,model,score", "corpus,net,q")
    assert table(content, ["model=net", "score=q"]).models == ("x", "y")
    assert table(content, {"model": "NET", "score": "q"}).models == ("x", "y")


def test_a_unit_is_said_and_nothing_converted(table) -> None:
    assert table(PLAIN.replace("70.5", "170.5")).unit == "units of the table"
    scores = table(PLAIN, unit="mAP points")
    assert (scores.unit, scores.cells[0, 0]) == ("mAP points", 70.5)
    mixed = "data set,model,score\na,x,.7\na,y,.71\nb,x,60\nb,y,62\n"
    with pytest.raises(DataError, match=r"scores of 1 data sets lie between 0 and 1 \(such as 'a'\).*--unit percent"):
        table(mixed)
    assert table(mixed, unit="percent").cells[0, 0] == 0.7


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "t.csv: the file is empty"),
        ("\n\n", "t.csv: the file is empty"),
        ("data set,model,score\n", "a header and no rows"),
        ("nothing\n", "row 1: one column only"),
        (b"PK\x03\x04", "an Excel or zip file, not text. Save the table as CSV"),
        (b"a,b\0,c\n", "binary, not text"),
        (PLAIN + "c,x\n", "row 6: 2 fields, the header has 3"),
        (
            PLAIN + "a,x,70\n",
            "row 6: 'x' on 'a' has the score 70 here and 70.5 in row 2. If these are seeds, add a column",
        ),
        (PLAIN + "c,x,good\n", "row 6: score is 'good', which is no number. Write one number"),
        (
            PLAIN + "c,x,70.1 ± 0.3\n",
            "row 6: score is '70.1 ± 0.3', which is no number. Give the mean alone, or better",
        ),
        (PLAIN + 'c,x,"70,1"\n', "row 6: score is '70,1', which is no number. Some numbers have a decimal comma"),
        (PLAIN + "c,x,inf\n", "row 6: score is 'inf', which is no number"),
        (PLAIN + ",x,70\n", "row 6: the data set has no name"),
        (PLAIN + "c,,70\n", "row 6: the model has no name"),
        (PLAIN.replace("a,", "b,").replace("b,y,71\nb,x,60\n", ""), "one data set only ('b')"),
        (PLAIN.replace(",y,", ",x,").replace("a,x,71\n", "").replace("b,x,60\n", ""), "one model only ('x')"),
        (PLAIN.replace("70.5", "").replace("71", "").replace("60", "-").replace("62.25", "n/a"), "no row has a score"),
        ("data set,model,score,score\na,x,1,2\n", "two columns are called 'score'"),
        ("data set,model,mAP,AP50\na,x,1,2\n", "'mAP', 'AP50' could each be the score. Say which: --columns score=mAP"),
        ("corpus,net,q\na,x,1\n", "no column for the model and the score. Expected are: data set, model, score"),
        ("alpha,beta,gamma\na,x,1\n", "Columns found: 'alpha', 'beta', 'gamma'"),
        ("data set,modle_nam,value\na,x,1\n", "Nearest: 'modle_nam'. Name them: --columns model=modle_nam"),
        ("x,y,z\n1,2,3\n", "or a first column called 'data set' and a column of numbers for each model"),
        (
            "data set,model,seed,score\na,x,1,5\na,x,1,6\n",
            "row 3: 'x' on 'a', seed '1', has the score 6 here and 5 in row 2. Remove one",
        ),
        (
            "data set,model,images,score\na,x,-3,5\n",
            "row 2: images is '-3'; a number of images is a whole number above 0",
        ),
        (
            "data set,model,group,score\na,x,sky,5\na,y,sea,5\n",
            "row 3: 'a' is in the group 'sea' here and in 'sky' in row 2",
        ),
        ('data set,model,score\n"a,x,1\n', "the header has 3"),
    ],
)
def test_it_is_refused_with_path_row_and_advice(table, content, said) -> None:
    with pytest.raises(DataError) as fault:
        table(content)
    assert said in str(fault.value) and "t.csv" in str(fault.value)


def test_wrong_paths(tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_text(PLAIN)
    with pytest.raises(DataError, match=r"scores2.csv: no such file. Tables there: scores.csv"):
        read_scores(tmp_path / "scores2.csv")
    with pytest.raises(DataError, match=r"a folder\. Name the table itself"):
        read_scores(tmp_path)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (["mAP"], "write ROLE=NAME"),
        (["modle=x"], "'modle' is no column that judge reads. Did you mean model?"),
    ],
)
def test_wrong_roles(table, columns, said) -> None:
    with pytest.raises(UsageError, match=said):
        table(PLAIN, columns)


def test_a_column_that_is_not_there(table) -> None:
    with pytest.raises(DataError, match=r"no column 'scre' \(--columns score=scre\). Did you mean 'score'\?"):
        table(PLAIN, ["score=scre"])


def test_a_direction_that_is_none(table) -> None:
    with pytest.raises(UsageError, match="--better up: write higher or lower"):
        table(PLAIN, better="up")
