"""The small files of a model: configuration, generation settings, tokenizer. Pure.

Engines and Dynamo's frontend need `config.json` (Transformers, TensorRT-LLM), `params.json`
(Mistral), `model_index.json` (Diffusers) or `adapter_config.json` (LoRA). Dynamo's frontend
(lib/llm/src/model_card.rs) reads `eos_token_id` from `generation_config.json` or `config.json`,
since June 2026 also by the token names in the tokenizer's files, and does not list a model without
it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from kubectl_fluidmodel.model import wrong_content
from kubectl_fluidmodel.model.files import SourceFile
from kubectl_fluidmodel.model.issue import CONFIG, WARNING, ModelIssue
from kubectl_fluidmodel.output.units import summarize

CONFIG_FILE = "config.json"
MODEL_CONFIG_FILES = (
    CONFIG_FILE,
    "params.json",
    "model_index.json",
    "adapter_config.json",
    "model_config.yaml",
    "genai_config.json",
)
"""Transformers and TensorRT-LLM, Mistral, Diffusers, LoRA, NeMo, ONNX Runtime."""
SINGLE_FILE_SUFFIXES = (".gguf", ".nemo", ".onnx", ".llamafile")
"""Extensions of files that are complete models."""
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "tokenizer.model.v3",
    "tekken.json",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
)
GENERATION_CONFIG, TOKENIZER_CONFIG, SPECIAL_TOKENS_MAP = (
    "generation_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
)
SAMPLED_FILES = (
    CONFIG_FILE,
    "adapter_config.json",
    GENERATION_CONFIG,
    TOKENIZER_CONFIG,
    SPECIAL_TOKENS_MAP,
)
"""Files that are read from a model's directory."""


def identifies_model(name: str) -> bool:
    """Return whether a file name identifies its directory as a model."""
    return name in MODEL_CONFIG_FILES or name.endswith(SINGLE_FILE_SUFFIXES)


def find_model_directories(paths: Iterable[str]) -> list[str]:
    """Return the directories that hold a model, the root (empty string) first, then by depth."""
    directories = {
        path.rpartition("/")[0]
        for path in paths
        if identifies_model(path.rpartition("/")[2]) and not path.startswith(".")
    }
    # A component of a model (tokenizer/config.json of Diffusers) is not a model itself.
    outermost = [
        directory for directory in directories if directories.isdisjoint(_parents(directory))
    ]
    return sorted(
        outermost, key=lambda directory: (directory.count("/") if directory else -1, directory)
    )


def _parents(folder: str) -> Iterator[str]:
    """Return the parent directories of a directory, the root (empty string) last."""
    while folder:
        folder = folder.rpartition("/")[0]
        yield folder


def check_configs(files: Sequence[SourceFile], texts: Mapping[str, bytes]) -> Iterator[ModelIssue]:
    """Yield what the small files lack; `texts` has the files that were read."""
    names = {file.path for file in files}
    models = find_model_directories(names)
    if not models:
        yield ModelIssue(WARNING, "no config.json at its root")
        return
    if models != [""]:
        yield _nested_models_issue(models, names)
    for model in models[:4]:
        yield from _check_model(f"{model}/" if model else "", files, texts)


def _nested_models_issue(models: Sequence[str], names: set[str]) -> ModelIssue:
    if len(models) > 1:
        return ModelIssue(
            WARNING,
            f"it holds {len(models)} models ({summarize(models, 5)}): an engine loads one",
        )
    inside = f"{models[0]}/"
    first = next((name for name in sorted(names) if name == inside + CONFIG_FILE), inside)
    return ModelIssue(
        WARNING, f"no config.json at its root (there is one at {first}; did you mean that "
        "directory?)" if first != inside else f"the model is in {inside}, not at its root"
    )  # fmt: skip


def _check_model(
    root: str, files: Sequence[SourceFile], texts: Mapping[str, bytes]
) -> Iterator[ModelIssue]:
    own_files = {file.path[len(root) :]: file for file in files if file.path.startswith(root)}
    if CONFIG_FILE not in own_files:
        if "adapter_config.json" in own_files:
            yield _adapter_issue(root, texts)
        return
    path = root + CONFIG_FILE
    if own_files[CONFIG_FILE].size == 0:
        yield ModelIssue(CONFIG, f"{path} is empty", True, (path,))
        return
    if path not in texts:
        return
    config = parse_json_object(texts[path])
    if isinstance(config, str):
        yield ModelIssue(CONFIG, f"{path} is {config}", True, (path,))
        return
    if "error" in config and not {"model_type", "architectures", "architecture"} & set(config):
        excerpt = str(config["error"])[:120]
        yield ModelIssue(
            CONFIG, f"{path} is an error message of a server: {excerpt}", True, (path,)
        )
        return
    if "pretrained_config" in config or "_class_name" in config:
        return  # an engine of TensorRT-LLM, or a part of Diffusers: their tokenizers are elsewhere
    if not any(
        name.rpartition("/")[2] in TOKENIZER_FILES or name.endswith(".tiktoken")
        for name in own_files
    ):
        yield ModelIssue(WARNING, f"{root}it has no tokenizer (tokenizer.json …)".removeprefix("/"))
    yield from _check_eos_token(root, own_files, texts, config)


def _adapter_issue(root: str, texts: Mapping[str, bytes]) -> ModelIssue:
    config = parse_json_object(texts.get(f"{root}adapter_config.json", b"{}"))
    base = "" if isinstance(config, str) else str(config.get("base_model_name_or_path") or "")
    base_note = f" of {base[:120]}" if base else ""
    return ModelIssue(
        WARNING, f"it is an adapter (LoRA){base_note}: an engine also needs its base model"
    )


def _check_eos_token(
    root: str,
    own_files: Mapping[str, SourceFile],
    texts: Mapping[str, bytes],
    config: Mapping[str, Any],
) -> Iterator[ModelIssue]:
    """Yield a warning if Dynamo's frontend does not find the end-of-text token."""
    inner = config.get("text_config")
    if _has_value(config, "eos_token_id") or (
        isinstance(inner, dict) and _has_value(inner, "eos_token_id")
    ):
        return
    if GENERATION_CONFIG in own_files:
        if f"{root}{GENERATION_CONFIG}" not in texts:
            return
        generation_config = parse_json_object(texts[f"{root}{GENERATION_CONFIG}"])
        if not isinstance(generation_config, str) and _has_value(generation_config, "eos_token_id"):
            return
        missing = f"neither {GENERATION_CONFIG} nor {CONFIG_FILE} has an eos_token_id"
    else:
        missing = f"no {GENERATION_CONFIG}, and {CONFIG_FILE} has no eos_token_id"
    candidates = [name for name in (TOKENIZER_CONFIG, SPECIAL_TOKENS_MAP) if name in own_files]
    unread = [candidate for candidate in candidates if f"{root}{candidate}" not in texts]
    naming = [
        candidate
        for candidate in candidates
        if _has_eos_token(texts.get(f"{root}{candidate}", b""))
    ]
    if naming or unread:
        path = (naming or unread)[0]
        yield ModelIssue(
            WARNING,
            f"{missing}: Dynamo's frontend before June 2026 finds no eos_token_id and does not "
            f"list the model (dynamo#10805); later ones look into {path}",
        )
        return
    yield ModelIssue(
        WARNING,
        f"{missing}: Dynamo's frontend finds no eos_token_id and does not list the model "
        "(dynamo#10805)",
    )


def _has_value(document: Mapping[str, Any], name: str) -> bool:
    return document.get(name) not in (None, [])


def _has_eos_token(content: bytes) -> bool:
    document = parse_json_object(content)
    return not isinstance(document, str) and bool(document.get("eos_token"))


def parse_json_object(content: bytes) -> dict[str, Any] | str:
    """Parse a JSON object, or describe what the text is instead, as in "it is …".

    Uses Python's reader, as engines do, which accepts Infinity and NaN.
    """
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as err:
        return (
            wrong_content.identify_wrong_content(content)
            or f"not JSON ({' '.join(str(err).split())[:80]})"
        )
    return value if isinstance(value, dict) else "not a JSON object"
