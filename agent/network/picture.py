"""What of the network matters to a call: usable addresses, and where the default routes lead. Pure."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from agent.network.rtnetlink import (
    IFA_F_DADFAILED,
    IFA_F_DEPRECATED,
    IFA_F_TEMPORARY,
    IFA_F_TENTATIVE,
    RT_SCOPE_SITE,
    Address,
    DefaultRoute,
    Link,
    Message,
)

_Place = tuple[str, str]  # interface and address, or interface and gateway


@dataclass(frozen=True)
class Picture:
    """The kernel's answer to what there is, boiled down.

    `addresses` are (interface, address) of all usable ones; `fresh` are those of them that a new connection would use:
    neither deprecated nor one of IPv6's temporary addresses, which come and go every day beside a lasting one.
    `routes` are the ways (interface, gateway) of the best default route for each (family, table).
    """

    links: Mapping[int, Link] = field(default_factory=dict)
    addresses: frozenset[_Place] = frozenset()
    fresh: frozenset[_Place] = frozenset()
    routes: Mapping[tuple[int, int], frozenset[_Place]] = field(default_factory=dict)
    _all_routes: frozenset[DefaultRoute] = frozenset()

    @classmethod
    def of(cls, said: Iterable[Message]) -> Picture:
        """The picture that the kernel's answers to all three requests give."""
        parts = list(said)
        links = {part.index: part for part in parts if isinstance(part, Link)}
        up = {index: link.name for index, link in links.items() if link.up and not link.loopback}
        usable = [part for part in parts if isinstance(part, Address) and part.index in up and _is_usable(part)]
        routes = frozenset(part for part in parts if isinstance(part, DefaultRoute) and part.index in up)
        best: dict[tuple[int, int], int] = {}
        for route in routes:
            key = (route.family, route.table)
            best[key] = min(best.get(key, route.priority), route.priority)
        return cls(
            links,
            frozenset((up[each.index], each.address) for each in usable),
            frozenset((up[each.index], each.address) for each in usable if _is_fresh(each)),
            {
                key: frozenset(
                    (up[route.index], route.gateway)
                    for route in routes
                    if (route.family, route.table) == key and route.priority == priority
                )
                for key, priority in best.items()
            },
            routes,
        )

    def may_change(self, news: Message) -> bool:
        """Whether `news` may make it another picture. Refreshed lifetimes, which routers cause all the time, do not."""
        match news:
            case Link(added=added, index=index):
                known = self.links.get(index)
                return known != news if added else known is not None
            case Address(added=added, index=index, address=address):
                link = self.links.get(index)
                known_address = link is not None and (link.name, address) in self.addresses
                return known_address != (added and _is_usable(news)) and not (link and link.loopback)
            case DefaultRoute(added=added):
                return not added or news not in self._all_routes
            case _:
                return False

    def change_to(self, new: Picture) -> str:
        """One sentence on what is different in `new`; empty when nothing is that matters to a call.

        While there is a default route only addresses of its interface matter: a Wi-Fi network that comes and goes
        beside a cable, or the bridges of containers, carry no packet of ours. Without one all do.
        """
        ways = {name for each in (self, new) for places in each.routes.values() for name, _ in places}
        gone = [place for place in self.addresses - new.addresses if not ways or place[0] in ways]
        come = [place for place in new.fresh - self.addresses if not ways or place[0] in ways]
        parts = [f"{name} lost {address}" for name, address in sorted(gone)]
        parts += [f"{name} got {address}" for name, address in sorted(come)]
        for key in sorted(self.routes.keys() | new.routes.keys()):
            before, after = self.routes.get(key, frozenset()), new.routes.get(key, frozenset())
            if before != after:
                parts.append(_moved(key[0], before, after))
        return "; ".join(dict.fromkeys(parts))


def _moved(family: int, before: frozenset[_Place], after: frozenset[_Place]) -> str:
    route = "IPv6 default route" if family == socket.AF_INET6 else "default route"
    if not after:
        return f"no {route} any more"
    names = " and ".join(sorted({name for name, _ in after}))
    if {name for name, _ in before} == {name for name, _ in after}:
        names += " through " + " and ".join(sorted(gateway or "the link itself" for _, gateway in after))
    return f"{route} now by {names}"


def _is_usable(address: Address) -> bool:
    """Whether packets may bear it: not of the link or the host alone, checked for duplicates (RFC 4862 5.4)."""
    return address.scope <= RT_SCOPE_SITE and not address.flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)


def _is_fresh(address: Address) -> bool:
    """The flag of temporary addresses means "secondary" with IPv4: those stay as long as others."""
    temporary = IFA_F_TEMPORARY if ":" in address.address else 0
    return not address.flags & (IFA_F_DEPRECATED | temporary)
