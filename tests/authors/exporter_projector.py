"""A model's embeddings as a picture: the two tables that https://projector.tensorflow.org loads."""

from typing import Annotated

from tunesmith import hookimpl, plugin
from tunesmith.files import replacing
from tunesmith.ranges import at_least


@plugin
class Projector:
    """Write the vectors of tokens as `vectors.tsv`, and the tokens as `tokens.tsv`."""

    most: Annotated[int, at_least(1, most=10_000_000)] = 10_000  # tokens, the first of the vocabulary

    @hookimpl
    def export(self, handle, output_dir):
        from tunesmith_library_chat import tokenizer_of

        vectors = handle.load().get_input_embeddings().weight[: self.most].detach().float().cpu()
        tokens = tokenizer_of(handle.processor).convert_ids_to_tokens(range(len(vectors)))
        with replacing(output_dir) as draft:
            draft.mkdir()
            with (draft / "vectors.tsv").open("w", encoding="utf-8") as table:
                table.writelines("\t".join(f"{x:.6g}" for x in vector.tolist()) + "\n" for vector in vectors)
            names = "".join(f"{token!r}\n" for token in tokens)
            (draft / "tokens.tsv").write_text(names, encoding="utf-8")
        return output_dir
