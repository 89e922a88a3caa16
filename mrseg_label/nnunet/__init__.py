"""nnU-Net, wrapped thinly: folders and arrays in, folders and numbers out. No database, no settings.

raw data set (:mod:`.dataset`) -> plans and preprocessed cases (:mod:`.planning`) -> training in a process of
its own (:mod:`.train`, :mod:`.supervise`) -> model folder (:mod:`.archive`) -> predictions (:mod:`.predict`).

Importing these modules is cheap: torch and nnU-Net are imported by the functions that need them, in workers.
"""
