"""Named parts: the built-in ones, and those that installed packages offer through entry points.

A package adds a chunker with an entry point in the group `ragkit.chunkers` (likewise for the other kinds) that names a
class; the keyword arguments of the class are the part's options in a configuration.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Mapping, Set
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, get_type_hints

from pydantic import ConfigDict, ValidationError, create_model

from ragkit.errors import ConfigError, MissingExtraError, UnknownPartError

BUILT_IN: dict[str, dict[str, str]] = {
    "loaders": {
        "text": "ragkit.loaders.text:TextLoader",
        "markdown": "ragkit.loaders.markdown:MarkdownLoader",
        "html": "ragkit.loaders.html:HtmlLoader",
        "pdf": "ragkit.loaders.pdf:PdfLoader",
        "docx": "ragkit.loaders.docx:DocxLoader",
        "jsonl": "ragkit.loaders.jsonl:JsonlLoader",
        "code": "ragkit.loaders.code:CodeLoader",
        "epub": "ragkit.loaders.epub:EpubLoader",
        "pptx": "ragkit.loaders.pptx:PptxLoader",
        "mail": "ragkit.loaders.mail:MailLoader",
    },
    "chunkers": {
        "token": "ragkit.chunkers.token:TokenChunker",
        "sentence": "ragkit.chunkers.sentence:SentenceChunker",
        "recursive": "ragkit.chunkers.recursive:RecursiveChunker",
        "semantic": "ragkit.chunkers.semantic:SemanticChunker",
        "perplexity": "ragkit.chunkers.perplexity:PerplexityChunker",
        "margin_sampling": "ragkit.chunkers.margin_sampling:MarginSamplingChunker",
    },
    "enrichers": {
        "summary": "ragkit.enrichers.summary:SummaryEnricher",
        "rewrite": "ragkit.enrichers.rewrite:RewriteEnricher",
    },
    "embedders": {
        "sentence_transformer": "ragkit.models.embedder:SentenceTransformerEmbedder",
        "hashing": "ragkit.models.hashing:HashingEmbedder",
    },
    "retrievers": {
        "dense": "ragkit.retrievers.dense:DenseRetriever",
        "lexical": "ragkit.retrievers.lexical:LexicalRetriever",
        "hybrid": "ragkit.retrievers.hybrid:HybridRetriever",
    },
    "stores": {
        "faiss": "ragkit.retrievers.faiss:FaissStore",
        "chroma": "ragkit.retrievers.chroma:ChromaStore",
    },
    "selectors": {
        "top_k": "ragkit.selectors.top_k:TopKSelector",
        "mmr": "ragkit.selectors.mmr:MmrSelector",
        "score_cut": "ragkit.selectors.score_cut:ScoreCutSelector",
        "tree_search": "ragkit.selectors.tree_search:TreeSearchSelector",
        "rationale": "ragkit.selectors.rationale:RationaleSelector",
        "extractive": "ragkit.selectors.extractive:ExtractiveSelector",
        "configured": "ragkit.selectors.configured:ConfiguredSelector",
    },
    "controllers": {
        "feedback": "ragkit.controllers.feedback:FeedbackController",
        "corrective": "ragkit.controllers.corrective:CorrectiveController",
    },
    "rerankers": {
        "cross_encoder": "ragkit.rerankers.cross_encoder:CrossEncoderReranker",
        "maxsim": "ragkit.rerankers.maxsim:MaxSimReranker",
        "likelihood": "ragkit.rerankers.likelihood:LikelihoodReranker",
        "cosine": "ragkit.rerankers.cosine:CosineReranker",
        "bm25": "ragkit.rerankers.bm25:Bm25Reranker",
        "fusion": "ragkit.rerankers.fusion:FusionReranker",
    },
    "language_models": {
        "local": "ragkit.models.local:LocalLanguageModel",
        "served": "ragkit.models.served:ServedLanguageModel",
        "vllm": "ragkit.models.vllm:VllmLanguageModel",
        "cache": "ragkit.models.cache_lm:CacheLanguageModel",
    },
}


def names(kind: str) -> list[str]:
    """Return the names of all parts of `kind` ("chunkers", "retrievers", ...), built-in ones first."""
    return [*BUILT_IN[kind], *(name for name in sorted(_offered(kind)) if name not in BUILT_IN[kind])]


def part(kind: str, name: str) -> type[Any]:
    """Return the class of the part `name`, importing nothing else.

    Built-in names cannot be taken over by a package. Raises UnknownPartError with the nearest name, and
    MissingExtraError where an optional dependency is absent.
    """
    target = BUILT_IN[kind].get(name)
    try:
        if target is not None:
            module, _, attribute = target.partition(":")
            loaded: type[Any] = getattr(importlib.import_module(module), attribute)
            return loaded
        if name in _offered(kind):
            return _offered(kind)[name].load()  # type: ignore[no-any-return]
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"The {kind[:-1].replace('_', ' ')} {name!r} needs the package {error.name!r}, which is not installed.",
            hint=f"Install it, for instance with: pip install 'ragkit[{name}]'.",
        ) from error
    raise UnknownPartError(
        f"There is no {kind[:-1].replace('_', ' ')} named {name!r}.",
        hint=f"{suggestion(name, names(kind))} Available: {', '.join(names(kind))}.".lstrip(),
    )


def create(kind: str, name: str, options: Mapping[str, Any], **resources: Any) -> Any:
    """Return the part `name`, made from its options and those of `resources` that its constructor asks for.

    Options are checked against the constructor's annotations: an unknown key or a bad value raises ConfigError with
    the nearest valid key.
    """
    constructor = part(kind, name)
    parameters = inspect.signature(constructor).parameters
    given = {key: value for key, value in resources.items() if key in parameters}
    return constructor(**_checked(kind, name, constructor, options, exclude=set(resources)), **given)


def check_options(kind: str, name: str, options: Mapping[str, Any], resources: Set[str]) -> None:
    """Raise what `create` would raise for the part's name and options, without making it or needing `resources`."""
    _checked(kind, name, part(kind, name), options, exclude=set(resources))


def asks_for(kind: str, name: str, resource: str) -> bool:
    """Return whether the constructor of the part `name` has a parameter called `resource`."""
    return resource in inspect.signature(part(kind, name)).parameters


def suggestion(wrong: str, valid: list[str]) -> str:
    """Return "Did you mean 'x'?" for the nearest of `valid`, or an empty string."""
    near = difflib.get_close_matches(wrong, valid, n=1, cutoff=0.5)
    return f"Did you mean {near[0]!r}?" if near else ""


def _checked(
    kind: str, name: str, constructor: type[Any], options: Mapping[str, Any], exclude: set[str]
) -> dict[str, Any]:
    """Return `options` validated against the annotated keyword arguments of `constructor`."""
    parameters = inspect.signature(constructor).parameters
    hints = get_type_hints(constructor.__init__)
    allowed = [key for key in parameters if key not in exclude]
    written = {"language_model": "model", "reranker": "reranker", "members": "rerankers"}  # see `ragkit.parts`
    shown = [*allowed, *(option for resource, option in written.items() if resource in parameters)]
    shown += ["trust"] if kind == "selectors" and "trust" not in shown else []
    label = f"{kind[:-1].replace('_', ' ')} {name!r}"
    for key in options:
        if key not in allowed:
            raise ConfigError(
                f"The {label} has no option {key!r}.",
                hint=f"{suggestion(key, shown)} Options: {', '.join(shown) or 'none'}.".lstrip(),
            )
    lacking = [key for key in allowed if _is_required(parameters[key]) and key not in options]
    if lacking:
        raise ConfigError(
            f"The {label} needs the option {lacking[0]!r}, which is not given.",
            hint=f"Give it a value. Options: {', '.join(shown)}.",
        )
    fields: dict[str, Any] = {key: (hints.get(key, Any), ...) for key in options}
    model = create_model(
        "Options", __config__=ConfigDict(arbitrary_types_allowed=True, protected_namespaces=()), **fields
    )
    try:
        checked = model(**options)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        raise ConfigError(
            f"The option {where!r} of the {label} cannot be {first['input']!r}: {first['msg']}.",
            hint="Correct the value.",
        ) from None
    return {key: getattr(checked, key) for key in options}


def _is_required(parameter: inspect.Parameter) -> bool:
    various = parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return not various and parameter.default is inspect.Parameter.empty


@cache
def _offered(kind: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=f"ragkit.{kind}")}
