"""Many nodes in virtual time: the real ones, their logs and their sessions, over simulated processes and networks.

    events      what can happen, as frozen values          scenario    a mesh and a schedule, drawn from a seed up front
    timeline    virtual time; processes that stop or die   network     ways and pipes, and what goes wrong on them
    connection  plays `network.connection`                 dialer      plays `network.dialer`
    host        a machine with a node on it                world       all of them, and what was seen
    deeds       what each kind of event does               forgery     frames of a peer that means harm
    guests      nodes that come for a while                liar        what a guest says that means harm
    notes       a table that only a later release has      plans       small meshes for tests of one thing each
    ledger      what clients were promised                 checks      what must hold once the faults are over
    alike       what nodes hold otherwise than others
    simulate    one run                                    steady      an hour without faults
    runner      many runs, added up                        shrink      the least that still fails

A run needs no clock, no socket and no thread: a seed gives the same run each time. ``make simulate SEEDS=1000`` runs
seeds, ``make replay SEED=7`` one of them with its story.
"""
