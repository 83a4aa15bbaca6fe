"""A linter for models: `python -m tenantry.lint path...` flags models and tables without the tenant column.

It reads source text and imports nothing. SQLAlchemy models (declarative and `Table(...)`) and Django models are known;
bases are followed by name through all files that were given.

| rule | finding |
|---|---|
| `TNT001` | a model or table without the column `tenant_id` |
| `TNT002` | an exemption without a reason |
| `TNT003` | an exemption that is not needed |

A table of nobody's rows (reference data) is exempt by a comment on the line of its class or call,
`# tenantry: exempt(the same rows for everybody)`, or by `--exempt countries="the same rows for everybody"`.
"""

from tenantry.lint.judge import Finding, judge
from tenantry.lint.read import Source, Unreadable, read

__all__ = ["Finding", "Source", "Unreadable", "judge", "read"]
