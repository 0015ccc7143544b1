"""The memory's graph: entities with what was observed of them, and relations between them. Pure.

It does what @modelcontextprotocol/server-memory does: what is there already is not added again, what is not there need
not be deleted, and only observations of an entity that is unknown are an error.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any

from openmanager.errors import NotFound
from openmanager.values import mutable

Entity = dict[str, Any]
Relation = dict[str, str]


@mutable
class Graph:
    """Entities (`name`, `entityType`, `observations`) by name, and relations (`from`, `to`, `relationType`)."""

    entities: dict[str, Entity] = field(default_factory=dict)
    relations: list[Relation] = field(default_factory=list)

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "Graph":
        """A graph as `stored` wrote it."""
        return cls({entity["name"]: entity for entity in stored["entities"]}, list(stored["relations"]))

    def stored(self) -> dict[str, Any]:
        """The graph as JSON."""
        return {"entities": list(self.entities.values()), "relations": self.relations}

    def create_entities(self, entities: Iterable[Entity]) -> list[Entity]:
        """Add entities; those that were added."""
        added = []
        for entity in entities:
            if entity["name"] not in self.entities:
                self.entities[entity["name"]] = entity
                added.append(entity)
        return added

    def create_relations(self, relations: Iterable[Relation]) -> list[Relation]:
        """Add relations; those that were added."""
        added = []
        for relation in relations:
            if relation not in self.relations:
                self.relations.append(relation)
                added.append(relation)
        return added

    def add_observations(self, observations: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Add what was observed; what was new, for each entity. Raises NotFound."""
        results = []
        for observation in observations:
            name = observation["entityName"]
            if name not in self.entities:
                raise NotFound(f"Entity with name {name} not found")
            known = self.entities[name]["observations"]
            new = [content for content in dict.fromkeys(observation["contents"]) if content not in known]
            known += new
            results.append({"entityName": name, "addedObservations": new})
        return results

    def delete_entities(self, names: Sequence[str]) -> None:
        """Forget entities and their relations."""
        for name in names:
            self.entities.pop(name, None)
        self.relations = [r for r in self.relations if r["from"] not in names and r["to"] not in names]

    def delete_observations(self, deletions: Iterable[Mapping[str, Any]]) -> None:
        """Forget what was observed."""
        for deletion in deletions:
            if entity := self.entities.get(deletion["entityName"]):
                gone = deletion["observations"]
                entity["observations"] = [text for text in entity["observations"] if text not in gone]

    def delete_relations(self, relations: Sequence[Relation]) -> None:
        """Forget relations."""
        self.relations = [relation for relation in self.relations if relation not in relations]

    def search(self, query: str) -> dict[str, Any]:
        """Entities with a text in name, type or observations, and all their relations."""
        wanted = query.lower()
        return self._around(
            entity
            for entity in self.entities.values()
            if any(wanted in text.lower() for text in (entity["name"], entity["entityType"], *entity["observations"]))
        )

    def open(self, names: Sequence[str]) -> dict[str, Any]:
        """Entities by name, and all their relations."""
        return self._around(entity for entity in self.entities.values() if entity["name"] in names)

    def _around(self, entities: Iterable[Entity]) -> dict[str, Any]:
        found = list(entities)
        names = {entity["name"] for entity in found}
        relations = [r for r in self.relations if r["from"] in names or r["to"] in names]
        return {"entities": found, "relations": relations}
