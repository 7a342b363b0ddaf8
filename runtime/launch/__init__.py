"""How a job's program is started, watched and ended: on one node or many, with Ray or with a server beside it."""
