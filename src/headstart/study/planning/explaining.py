"""Jobs that explain the pair of a study's `[explain]`: boxes against labels, seed by seed."""

from __future__ import annotations

from dataclasses import dataclass

from headstart.config.study import Task, WeightsEntry
from headstart.study.jobs import Job
from headstart.study.planning.making import JobMaker
from headstart.study.settings import ActivationsSettings, CompositionSettings, NeighborsSettings
from headstart.weights.starts import StartPlace, StartSettings


@dataclass(frozen=True)
class Explaining:
    """Makes the jobs of the study that `make` makes those of."""

    make: JobMaker

    def jobs(self) -> list[tuple[str, int, Job]]:
        """Kind, seed and job of each; none where the study explains nothing."""
        make, explain = self.make, self.make.study.explain
        if explain is None:
            return []
        entries = {w.name: w for w in make.study.weights}
        roles = {"boxes": entries[explain.boxes], "labels": entries[explain.labels]}
        if explain.random:
            roles["random"] = entries[explain.random]
        drawn = make.study.bootstrap, make.study.threads
        jobs = []
        for seed in make.study.seeds:
            images = {"images": make.sets.job(explain.images, seed)}
            others = explain.statistics
            features = {
                role: make.features(entry, explain.images, seed, statistics=others) for role, entry in roles.items()
            }
            labels = roles["labels"]
            if labels.pretraining and make.study.pretraining[labels.pretraining].early:
                features["early"] = make.features(labels, explain.images, seed, early=True, statistics=others)
            label = f"neighbors{make.whose(roles.values(), seed)}"
            near = Job("neighbors", NeighborsSettings(*drawn), features | images, None, label=label, cost=8)
            jobs += [("neighbors", seed, near), *(("activations", seed, job) for job in self._activations(roles, seed))]
            if explain.probe:
                task = next(t for t in make.study.tasks if t.name == explain.probe)
                probes = {role: make.probe(task, roles[role], seed) for role in ("boxes", "labels")}
                composed = self._composition(task, [roles["boxes"], roles["labels"]], probes, seed)
                jobs.append(("composition", seed, composed))
        return jobs

    def _composition(self, task: Task, entries: list[WeightsEntry], probes: dict[str, Job], seed: int) -> Job:
        """Of two probes, one of which is fitted on fewer images besides: so their features are needed, too."""
        make, inputs = self.make, dict(probes)
        for role, of_role in probes.items():
            inputs |= {f"{role}_{part}": of_role.inputs[f"{part}0"] for part in ("train", "test")}
            inputs |= {"images": of_role.inputs["test_images0"], "train_images": of_role.inputs["train_images0"]}
        seed, whose = make.drawn_by(task, entries, seed)
        settings = CompositionSettings(seed, task.limit, make.study.bootstrap, make.study.threads)
        return Job("composition", settings, inputs, None, label=f"composition{whose}", cost=8)

    def _activations(self, roles: dict[str, WeightsEntry], seed: int) -> list[Job]:
        """One job; two where the control alone is random: what the seed does not change is then computed once."""
        arms = {role: entry for role, entry in roles.items() if role != "random"}
        if len(arms) < len(roles) and all(self.make.is_given(entry) for entry in arms.values()):
            return [self._maps(arms, seed), self._maps({"random": roles["random"]}, seed)]
        return [self._maps(roles, seed)]

    def _maps(self, roles: dict[str, WeightsEntry], seed: int) -> Job:
        make, explain = self.make, self.make.study.explain
        assert explain
        weights: dict[str, StartSettings] = {}
        inputs: dict[str, Job] = {}
        places: dict[str, StartPlace] = {}
        for role, entry in roles.items():
            weights[role], made, places[role] = make.start(entry, seed)
            inputs |= {f"weights_{role}": job for job in made.values()}
        inputs["images"] = make.sets.job(explain.images, seed)
        inputs["statistics"] = make.sets.job(explain.statistics, seed)
        of = "" if len(roles) > 1 else " of random values"
        label = f"activation maps{of}{make.whose(roles.values(), seed)}"
        settings = ActivationsSettings(weights, make.study.bootstrap, make.study.threads, device=make.device)
        return Job("activations", settings, inputs, places, label=label, cost=5 * len(roles))
