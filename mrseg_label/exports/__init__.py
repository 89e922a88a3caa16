"""the annotated data set as files that other programs read: BIDS, one folder a participant, nnU-Net, whole bodies"""
