"""What happens to a Service and to a Container: the domain, written against the framework.

``service`` and ``container`` are the stories, ``planner`` the decisions as a pure function, ``admission`` what may be
declared. May import: the framework, the store, and engines through their port alone.
"""
