"""The MONAI Label side: the only code that imports monailabel.

A request takes one way under both launchers: route, app object (:class:`~mrseg_monailabel.loop.LoopApp`),
adapter (datastore, infer task, strategies, trainer), service of ``mrseg_label``.
"""
