"""Consequences that several checks share, by code.

A cache comes up in this order: master, workers, Bound, claim, labels on nodes, load, FUSE, reader.
If one step fails, all later ones fail, too.
"""

READERS_BLOCKED = ("FM424", "FM434", "FM441", "FM442", "FM445")
"""Pods that read the cache do not start."""
NO_FUSE = ("FM431", "FM432", *READERS_BLOCKED)
NO_PLUGIN = ("FM430", *NO_FUSE)
NO_DRIVER = ("FM420", *NO_PLUGIN)
NOT_COMPLETE = ("FM604", "FM605")
NOT_LOADED = ("FM601", "FM604", "FM605", "FM606", "FM607", "FM610")
NO_CLAIM = ("FM402", "FM440", "FM441")
NOT_BOUND = ("FM208", "FM221", "FM222", "FM401", "FM405", *NO_CLAIM, *NOT_LOADED)
"""Consequences of a Dataset that is not Bound; its setup error is often only the last of them."""
NO_WORKER = ("FM330", "FM332", "FM405", *NOT_BOUND)
"""Consequences of a worker that does not run; without any worker the Dataset is not Bound."""
NO_MASTER = ("FM313", "FM331", *NO_WORKER)
NOT_CREATED = ("FM311", "FM333", *NO_MASTER)
"""Consequences if Fluid never creates the pods of a cache."""
