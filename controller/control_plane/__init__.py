"""The gRPC API: what clients may ask, who may declare what, and the status codes of refusals.

Promises: a call that is refused has changed nothing; a set is applied whole or not at all; a watch misses nothing;
a client is told what it did wrong, never how the program is built. All work on the store is done in one go on the
event loop, so no two calls interleave.
May import: proto, store, and the errors, the clock and the metrics of this program. Knows services through
:class:`~controller.control_plane.admission.Admission` alone. ``server.Server`` serves ``servicer.ControlPlane``.
"""
