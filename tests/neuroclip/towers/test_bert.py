"""The text tower against the formulas of the paper, written again, and against transformers."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from scipy.special import erf

from neuroclip.towers.bert import BertSizes, BertTower

SIZES = BertSizes(vocabulary=50, width=24, layers=3, heads=4, hidden=40, positions=20)


def tower(seed: int) -> BertTower:
    torch.manual_seed(seed)
    made = BertTower(SIZES, 20).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(0, 0.3)
    return made


def by_formula(held: dict[str, np.ndarray], ids: list[int]) -> np.ndarray:
    """One sentence without padding, token by token and head by head, in float64."""

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(axis=-1, keepdims=True)
        deviation = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12)
        return centred / deviation * held[f"{name}.weight"] + held[f"{name}.bias"]

    def dense(x: np.ndarray, name: str) -> np.ndarray:
        return x @ held[f"{name}.weight"].T + held[f"{name}.bias"]

    x = held["embeddings.word_embeddings.weight"][ids]
    x = x + held["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm(x + held["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for layer in range(SIZES.layers):
        at = f"encoder.layer.{layer}"
        q, k, v = (dense(x, f"{at}.attention.self.{n}") for n in ("query", "key", "value"))
        size, heads = SIZES.width // SIZES.heads, []
        for head in range(SIZES.heads):
            part = slice(head * size, (head + 1) * size)
            weights = np.exp(q[:, part] @ k[:, part].T / np.sqrt(size))
            heads.append(weights / weights.sum(axis=1, keepdims=True) @ v[:, part])
        seen = dense(np.concatenate(heads, axis=1), f"{at}.attention.output.dense")
        x = norm(x + seen, f"{at}.attention.output.LayerNorm")
        inner = dense(x, f"{at}.intermediate.dense")
        inner = inner * (1 + erf(inner / np.sqrt(2))) / 2
        x = norm(x + dense(inner, f"{at}.output.dense"), f"{at}.output.LayerNorm")
    return x.mean(axis=0)


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_papers_and_padding_changes_nothing(seed: int) -> None:
    made = tower(seed).double()
    held = {n.removeprefix("transformer."): x.numpy() for n, x in made.state_dict().items()}
    random = np.random.default_rng(seed)
    sentences = [random.integers(1, 50, size).tolist() for size in (1, 4, 20)]
    ids = torch.zeros(3, 20, dtype=torch.int64)
    for row, sentence in enumerate(sentences):
        ids[row, : len(sentence)] = torch.tensor(sentence)
    with torch.no_grad():
        found = made(ids).numpy()
    for row, sentence in enumerate(sentences):
        assert np.allclose(found[row], by_formula(held, sentence), atol=1e-9)


def test_transformers_gives_the_same() -> None:
    transformers = pytest.importorskip("transformers")
    if not hasattr(transformers, "BertModel"):
        pytest.skip("transformers without torch")
    made = tower(0)
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=24, num_hidden_layers=3, num_attention_heads=4,
        intermediate_size=40, max_position_embeddings=20,
    )  # fmt: skip
    theirs = transformers.BertModel(config, add_pooling_layer=False).eval()
    theirs.load_state_dict(
        {n.removeprefix("transformer."): x for n, x in made.state_dict().items()}, strict=False
    )
    ids = torch.randint(1, 50, (4, 12), generator=torch.Generator().manual_seed(0))
    ids[1, 5:] = 0
    mask = (ids != 0).long()
    with torch.no_grad():
        last = theirs(input_ids=ids, attention_mask=mask).last_hidden_state
        mean = (last * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        assert torch.allclose(made(ids), mean, atol=1e-5)
