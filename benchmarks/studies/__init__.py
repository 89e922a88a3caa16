"""Studies of learning: train variants of one training on the phantom, several seeds each, and compare them with a control.

A study is a module that is run by ``uv run python -m benchmarks.studies.NAME --folder DIR [--seeds 3]``. It measures what
a model learns, and no time, so other work on the machine does not disturb it. A training has 280 iterations at 7 mm and
takes about 80 s of one core. On the truth of four participants its mean DSC on others is about 0.6, on the steep part of the
curve (0.40 after 180 iterations, 0.67 after 360, by the study ``calibration``), where variants can be told apart. Nothing is done twice: cohort, preprocessed cases, models and scores that ``DIR`` holds
already are taken over, so that an interrupted study goes on when it is started again, and a variant can be added later.

How to write one::

    from benchmarks.studies.comparison import run_study
    from benchmarks.studies.study import Study, Variant

    def prepare(study: Study) -> list[Variant]:
        cohort = study.cohort(training=4, held_out=4, sequences=("in", "opp"))
        data = study.dataset("truth", cohort.training)                       # labels are the truth
        worse = study.dataset("no_spleen", cohort.training, without_spleen)  # (Case, label map) -> label map
        return [
            Variant("control", data, cohort.held_out),                       # the first one is the control
            Variant("half as long", data, cohort.held_out, changes={"epochs": 7}),
            Variant("no spleen", worse, cohort.held_out),
        ]

    if __name__ == "__main__":
        run_study("example", __doc__, prepare)

``changes`` are fields of :class:`mrseg_label.nnunet.profiles.TrainingProfile`; ``run`` of a variant replaces fields of
:class:`mrseg_label.nnunet.run.TrainingRun`, such as ``warm_start``. For models of different quality from one training, call
:meth:`benchmarks.studies.study.Study.train` with ``keep_epochs``; :meth:`benchmarks.studies.study.Study.score` scores any
model folder. :mod:`benchmarks.studies.comparison` prints the table and writes ``DIR/NAME.json``.
"""
