"""Where a row's items are seen: marks, typed parts, parts that carry their item, and rows that do not add up."""

import pytest
from tunesmith import DataError
from tunesmith_library_media.placing import placed, rows_media

IMAGE, VIDEO, AUDIO = {"type": "image"}, {"type": "video"}, {"type": "audio"}


def text(value):
    return {"type": "text", "text": value}


def asked(content, **media):
    return {"messages": [{"role": "user", "content": content}, {"role": "assistant", "content": "Yes."}], **media}


def content(row):
    return row["messages"][0]["content"]


def test_marks_become_parts_where_they_stand():
    row = asked("a <image>\nb<video><image>", images=["1", "2"], videos=["v"])
    made = placed(row)
    assert content(made) == [text("a "), IMAGE, text("\nb"), VIDEO, IMAGE]
    assert (made["images"], made["videos"]) == (["1", "2"], ["v"])
    assert made["messages"][1] == row["messages"][1]
    assert isinstance(content(row), str), "the row that was given stays as it is"
    assert placed(made) == made, "and so does a placed one"


def test_marks_are_found_in_every_turn_and_in_tool_results():
    turns = ["<image>What?", "It is <image>.", "look", "<image>", "system <image>"]
    roles = ["user", "assistant", "user", "tool", "system"]
    messages = [{"role": role, "content": said} for role, said in zip(roles, turns, strict=True)]
    made = placed({"messages": messages, "images": ["1", "2", "3", "4"]})
    found = [message["content"] if isinstance(message["content"], str) else "parts" for message in made["messages"]]
    assert found == ["parts", "parts", "look", "parts", "parts"]
    assert made["messages"][3]["content"] == [IMAGE]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image", "image": "a.jpg"},
        {"type": "image", "path": "a.jpg", "text": None},
        {"type": "image", "url": "a.jpg"},
        {"type": "image", "value": "a.jpg"},
        {"type": "image_url", "image_url": {"url": "a.jpg", "detail": None}},
        {"type": "image_url", "image_url": {"url": "a.jpg"}},
        {"type": "image_url", "image_url": "a.jpg"},
        {"type": "input_image", "image_url": "a.jpg"},
        {"type": "image", "source": {"type": "url", "url": "a.jpg"}},
    ],
)
def test_parts_that_carry_their_item_hand_it_to_the_row(part):
    made = placed(asked([text("see "), IMAGE, part, IMAGE, text("!")], images=["first", "last"]))
    assert content(made) == [text("see "), IMAGE, IMAGE, IMAGE, text("!")]
    assert made["images"] == ["first", "a.jpg", "last"]


def test_base64_of_parts_is_told_from_paths():
    made = placed(asked([{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}]))
    assert (content(made), made["audios"]) == ([AUDIO], [{"base64": "AAAA"}])


def test_what_parts_and_the_row_both_have_is_one():
    row = asked([{"type": "image", "image": "a.jpg"}, text("What?")], images=[{"path": "a.jpg", "bytes": None}])
    assert placed(row)["images"] == ["a.jpg"]


def test_items_stand_in_the_order_of_prompt_chosen_rejected():
    def said(role, content):
        return [{"role": role, "content": content}]

    carrying = [{"type": "image", "image": "p2"}]
    row = {"prompt": said("user", "<image>") + said("user", carrying), "chosen": said("assistant", "<image>c"),
           "rejected": said("assistant", "r<image>"), "images": ["p1", "c", "r"]}  # fmt: skip
    made = placed(row)
    assert made["images"] == ["p1", "p2", "c", "r"]
    assert rows_media(made, ("prompt", "chosen"))["images"] == ["p1", "p2", "c"]
    assert rows_media(made, ("prompt", "rejected"))["images"] == ["p1", "p2", "r"]
    assert rows_media(made) == {"images": ["p1", "p2", "c", "r"], "videos": [], "audios": []}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (asked("<image><image>", images=["1"]), r"2 × <image> for 1 image in `images`"),
        (asked("<image>", images=["1", "2"]), r"1 × <image> for 2 images in `images`"),
        (asked("What?", images=["1"]), r"no place in the texts says where 1 image would be; write <image>"),
        (asked("What?", audios=["1", "2"]), r"where 2 sounds would be; write <audio>"),
        (asked([VIDEO, VIDEO], videos=["1"]), r"2 × a part of type video for 1 video"),
        (asked("<audio><image>", images=["1"]), None),  # of sounds there are none: text, where the model takes none
        (asked([IMAGE]), r"1 × a part of type image for 0 images"),
    ],
)
def test_marks_and_items_must_be_equally_many(row, said):
    if said is None:
        assert content(placed(row)) == [text("<audio>"), IMAGE]
        return
    with pytest.raises(DataError, match=said):
        placed(row)


def test_marks_without_items_are_text_unless_the_model_takes_such_items():
    row = asked("<image>What?")
    assert placed(row) == row
    assert placed(row, ("audios",)) == row
    with pytest.raises(DataError, match="1 × <image> for 0 images"):
        placed(row, ("images",))
    html = asked("<video src='a.mp4'></video><video></video>")
    assert placed(html, ("images", "videos")) == html


def test_marks_beside_parts_for_all_items_are_text():
    row = asked([IMAGE, text("what does <image> mean?")], images=["1"])
    assert content(placed(row)) == [IMAGE, text("what does <image> mean?")]


def test_text_and_marks_of_rows_without_media_stay_what_they_are():
    for row in ({"text": "<image>"}, {"text": "<image>", "images": ["1"]}, asked([text("a"), text("b")])):
        assert placed(row, ("images",)) == row
