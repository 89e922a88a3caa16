"""The MONAI Label side: the only code that imports monailabel.

Every request takes one path under both launchers: route, app object (:class:`~mrseg_monailabel.protocol_app.ProtocolApp`),
adapter (datastore, infer task, strategies, trainer), service of ``mrseg_label``.
"""
