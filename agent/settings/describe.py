"""The models' types in words, for error texts and for the reference page."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt

from agent.settings.base import Hint, SettingsModel
from agent.settings.toml_text import value_text

_WORD_BY_TYPE: dict[Any, str] = {bool: "true or false", int: "whole number", float: "number", str: "text"}


@dataclass(frozen=True)
class Node:
    """One place in the config: its type and what annotates it."""

    annotation: Any
    metadata: tuple[Any, ...] = ()

    @classmethod
    def root(cls, model: type[SettingsModel]) -> "Node":
        return cls(model)

    @property
    def model(self) -> type[SettingsModel] | None:
        """The table at this place, if it is one of ours; of several forms the first that is a table."""
        return next(iter(self.models), None)

    @property
    def models(self) -> list[type[SettingsModel]]:
        """The tables that are possible at this place."""
        kinds = [form.annotation for form in self.forms()]
        return [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, SettingsModel)]

    def forms(self) -> list["Node"]:
        """The alternatives of a union without None, else this node alone; `Annotated` is taken apart."""
        if get_origin(self.annotation) is Annotated:
            base, *metadata = get_args(self.annotation)
            return Node(base, (*metadata, *self.metadata)).forms()
        if get_origin(self.annotation) in (Union, UnionType):
            members = [Node(arg, self.metadata) for arg in get_args(self.annotation) if arg is not type(None)]
            return [form for member in members for form in member.forms()]
        return [self]

    def descend(self, parts: Sequence[object]) -> "Node | None":
        """The place that `parts` lead to, or None where the types end before the path does."""
        node: Node | None = self
        for part in parts:
            node = node.child(part) if node else None
        return node

    def child(self, part: object) -> "Node | None":
        """The place under one key or list position."""
        for form in self.forms():
            origin, args = get_origin(form.annotation), get_args(form.annotation)
            if origin is dict:
                return Node(args[1])
            if origin is list:
                return Node(args[0])
        for model in self.models:
            if str(part) in model.model_fields:
                field = model.model_fields[str(part)]
                return Node(field.annotation, tuple(field.metadata))
        return None


def type_text(node: Node) -> str:
    """What is expected at this place, in a few words."""
    return hint_of(node) or " or ".join(dict.fromkeys(_form_text(form) for form in node.forms()))


def hint_of(node: Node) -> str | None:
    """The words that the models themselves have for this place."""
    hints = [str(item) for form in node.forms() for item in form.metadata if isinstance(item, Hint)]
    return hints[-1] if hints else None  # outer annotations come last and know more about the place


def literals(node: Node) -> list[str]:
    """The texts that are possible at this place, if it takes only certain ones."""
    return [
        value
        for form in node.forms()
        if get_origin(form.annotation) is Literal
        for value in get_args(form.annotation)
        if isinstance(value, str)
    ]


def _form_text(form: Node) -> str:
    origin, args = get_origin(form.annotation), get_args(form.annotation)
    if origin is Literal:
        return _one_of(value_text(value) for value in args)
    if origin is list:
        model = Node(args[0]).model
        return f"list of tables {_keys_text(model)}" if model else f"list of {type_text(Node(args[0]))}"
    word = _WORD_BY_TYPE.get(form.annotation)
    if word is None:
        return f"table {_keys_text(form.model)}" if form.model else "table"
    return word + _range_text(form.metadata)


def _keys_text(model: type[SettingsModel]) -> str:
    return "{ " + ", ".join(model.model_fields) + " }"


def _range_text(metadata: Iterable[Any]) -> str:
    low = high = ""
    for item in metadata:
        match item:
            case Ge(ge=bound):
                low = f"from {bound}"
            case Gt(gt=bound):
                low = f"above {bound}"
            case Le(le=bound):
                high = f"to {bound}"
            case Lt(lt=bound):
                high = f"below {bound}"
    return f" {low} {high}".rstrip() if low or high else ""


def _one_of(texts: Iterable[str]) -> str:
    *most, last = texts
    return f"{', '.join(most)} or {last}" if most else last
