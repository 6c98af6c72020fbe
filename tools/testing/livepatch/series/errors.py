# SPDX-License-Identifier: GPL-2.0
"""What a person has to put right: a message that names the place, and no traceback."""


class SeriesError(Exception):
    """One or more messages, each for one line."""

    def __init__(self, *messages):
        super().__init__("\n".join(messages))
        self.messages = messages
