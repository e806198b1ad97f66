"""From a project to its lock: one module a resolver, and one for what base images bring."""
