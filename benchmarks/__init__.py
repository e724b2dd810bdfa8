"""Commands that measure and print a table; each row is a ratio of two things measured together."""

from nst_core.machine import use_huge_pages

use_huge_pages()  # as the commands that compute do, and before anything here loads torch
