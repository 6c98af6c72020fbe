# SPDX-License-Identifier: GPL-2.0
"""Where things are: the repository, the base tree, the tree that is built from, the patches."""

import dataclasses
import os

import groups
import layout


@dataclasses.dataclass
class Place:
    repo: str
    base: str
    tree: str
    manifest: str
    out: str

    def series(self, *names):
        return os.path.join(self.repo, "series", *names)

    def files(self):
        """What is ours in the tree, overlay and edits."""
        with open(self.manifest) as manifest:
            return manifest.read().split("\n")[:-1]

    def edits(self):
        return [path for path in self.files() if os.path.isfile(os.path.join(self.base, path))]

    def series_files(self):
        """Those that the patches bring: not what series/groups leaves out."""
        plan = self.layout()
        return [path for path in self.files() if not plan.is_left_out(path)]

    def layout(self):
        with open(self.series("groups")) as text:
            return layout.Layout(groups.parse(text.read()), self.base, self.tree, self.files())

    def patches(self):
        """The patches, in order, without the cover letter."""
        return sorted(
            os.path.join(self.out, name)
            for name in os.listdir(self.out)
            if name.endswith(".patch") and not name.startswith("0000-")
        )
