// SPDX-License-Identifier: Apache-2.0
// Every limit of the system, with unit, default and reason. Crossing one is back-pressure or a typed error, never growth.

export const limits = {
  /** Bytes of an object store: what the segment's layout allows. */
  storeBytesMin: 64 * 1024,
  storeBytesMax: 2 ** 46,
  /** Bytes of an argument or result that travel inside the message; larger ones go through the store (Ray: 100 KiB). */
  inlineBytesMax: 100 * 1024,
  /** Bytes of all inlined arguments of one task; what is beyond, other than numbers and short strings, goes through the store. */
  taskInlineBytesMax: 100 * 1024,
  /** Arguments of one call, and values it returns: what its frame has 16 bits for. */
  argumentsMax: 0xffff,
  returnsMax: 0xffff,
  /** Bytes up to which a sealed object is copied out on get rather than wrapped in an external buffer (which costs microseconds and a GC hint). */
  copyOutBytesMax: 4096,
  /** Tasks an owner has queued at one leased worker. They can be taken back, so depth costs nothing but claim words (256 a channel). */
  pipelineDepthMax: 128,
  /** Tasks sent ahead to a worker of another node before it has answered once, and the work it is kept supplied with after that (ms): what a task takes decides how many. A few round trips of a network. */
  remoteDepthFirst: 4,
  remoteAheadMs: 5,
  /**
   * A task is sent to a worker of another node behind others only if bodies of their functions took less than this lately, several of them, and the worker
   * has answered, or had nothing to do, this short ago (ms): a worker in a loop does not hear that it is to give tasks back, whoever is idle. Far above
   * what the small tasks take that need to be sent ahead; for longer ones the way there costs little.
   */
  remoteQuickMs: 20,
  /** Bytes of arguments that another node must hold beyond what the own node does, for a task to be sent there first: below, moving them costs less. */
  localityBytesMin: 1 << 20,
  /** Scheduling classes by preferred node that an owner remembers. */
  nearClassesKept: 1_000,
  /** Workers an owner asks for at once in one class: more would only queue in the node. */
  wantMax: 256,
  /** How long an idle lease is kept for the next task of its class (ms). Ray: 500. Reclaimed at once when others wait. */
  leaseIdleMs: 200,
  /** How long a task keeps its CPU while it waits for its arguments (ms). They are brought ahead, or soon; but one that was lost and is made again may need that very CPU. */
  argumentsHoldMs: 1_000,
  /** How long a node that is started waits for its head to answer (ms). */
  joinMs: 8_000,
  /** How long a head, or its storage, may be away before those who wait for it are told (ms). */
  headSilenceTellMs: 2_000,
  /** How often a driver looks meanwhile whether it has something that waits for the head (ms). */
  headAbsenceLookMs: 500,
  /** How long init() waits for a node of this machine that joins its cluster again (ms): the time to join, and to make a store. */
  rejoinWaitMs: 10_000,
  /** How often a driver looks whether the node lives that it attached to (ms). */
  nodeWatchMs: 250,
  /** How long a busy lease may be kept once others wait (ms), so that no owner starves another. */
  leaseQuantumMs: 100,
  /** How long a node believes what an owner said of how many leases it has (ms): until then it is asked for none by who has as many. */
  heldKnownMs: 1_000,
  /** Bytes queued for an actor whose ring is full, before `.remote()` of its methods is refused. Beyond a second's worth of small calls. */
  peerQueueBytesMax: 1 << 30,
  /** Default retries of a task whose worker died (Ray: 3). */
  maxRetriesDefault: 3,
  /** Concurrent calls of an async actor (Ray: 1000). */
  asyncConcurrencyDefault: 1000,
  /** How long a class that fits no node may wait before its tasks fail, where no autoscaler runs (ms). EAGLERAY_INFEASIBLE_AFTER_MS in the environment of the driver sets it. */
  infeasibleAfterMs: Number(process.env.EAGLERAY_INFEASIBLE_AFTER_MS ?? 10_000),
  /**
   * How long it may wait before its driver is warned, where nodes may join (ms): a node that is started at the same time is there sooner. Elsewhere
   * at once. EAGLERAY_INFEASIBLE_WARN_AFTER_MS in the environment of the head and of the nodes sets it.
   */
  infeasibleWarnAfterMs: Number(process.env.EAGLERAY_INFEASIBLE_WARN_AFTER_MS ?? 3_000),
  /** How often a head in the node's own process looks whether a placement group fits now (ms); where there are many nodes, their beats tell. */
  groupRetryMs: 50,
  /** Placement groups that were removed which the head remembers, so that work for them fails rather than waits. */
  removedGroupsKept: 10_000,
  /** Placement groups whose bundles a node knows the places of; of one forgotten it asks again. */
  groupViewsKept: 1_000,
  /** How long a node lets what others want wait before it sends it back, where another has room (ms). */
  guestWaitMs: 250,
  /** After how long it sends back what nobody there can be asked to give up a worker for (ms), so that it may wait where somebody holds more than his share. */
  guestRestMs: 400,
  /** How long it is gathered what is to wait at other nodes, and how long what came back waits at most before it is sent again (ms): `guestRestMs`, then twice as long each time, while that gains nothing. */
  spreadMs: [20, 30_000],
  /** How long what a node sent to another is taken off what that one was said to have free (ms): until its next beat and the head's next view. */
  sentShowsAfterMs: 300,
  /** Lines of stderr kept of each worker for the error that tells of its death. */
  stderrTailLines: 20,
  /** How long a worker may take to say hello (ms; Ray: 60 s). */
  workerStartMs: 60_000,
  /** Workers that fail to start in a row, while none is alive, before the node gives up. */
  workerStartFailuresMax: 8,
  /** How long an actor may take to finish what was submitted before it is killed, once out of scope or exiting (ms; Ray: 30 s). */
  actorStopMs: 30_000,
  /** Microseconds a process polls its rings after the last packet before it sleeps. */
  spinMicros: 100,
  /** Share of the store that a process fills with new objects before it looks whether to collect garbage, and the filling above which it does. */
  collectAfterShare: 1 / 16,
  collectAboveShare: 1 / 2,
  /** Above this filling it does so however short ago the last collection was. */
  collectAtOnceShare: 3 / 4,
  /** A process collects at most once in this time (ms): a full collection of a small heap takes some milliseconds. */
  collectEveryMs: 50,
  /** How long a worker without a task waits before it collects the views that its tasks have left (ms): a full collection of a small heap takes some milliseconds. */
  idleCollectMs: 1_000,
  /** How long a worker waits for room for a result before that is an error, asking all processes to collect meanwhile (ms; Ray: 2 s). */
  roomWaitMs: 2_000,
  /** How often it looks (ms). */
  roomRetryMs: 20,
  /** Share of the memory of the machine (or of the cgroup, where that is fuller) above which the node ends a worker. EAGLERAY_MEMORY_LIMIT_SHARE in the environment of the driver sets it; 1 and more: never. */
  memoryLimitShare: Number(process.env.EAGLERAY_MEMORY_LIMIT_SHARE ?? 0.95),
  /** How often it looks (ms; Ray: 250). */
  memoryCheckMs: 250,
  /** A worker with less memory of its own than this is not ended for it: that would help nobody (bytes). A fresh one has about 30 MB. */
  memoryVictimBytesMin: 64 << 20,
  /** How often a task that was ended for lack of memory is run again at most, besides `maxRetries` (of tasks whose maxRetries is neither 0 nor -1). Ray: for ever. */
  memoryRetriesMax: 5,
  /** First and longest pause before it is (ms); they double, so that others may end meanwhile. */
  memoryRetryMs: [1_000, 60_000],
  /** How long after the kernel ended a process for lack of memory the exit of a worker by SIGKILL may be put down to that (ms). */
  kernelKillMs: 5_000,
  /** Tasks kept by each owner for the state API after they ended. */
  finishedTasksKept: 1_000,
  /** How long a worker beyond the number of CPUs may be idle before it is sent away (ms; Ray: 1 s). */
  workerIdleMs: 1_000,
  /** How long an idle worker of another environment than the job's is kept (ms): its start may have loaded much. No more of them than CPUs. */
  environmentIdleMs: 10_000,
  /** Starts of a worker in a row that the system ended (out of memory, no process left) before its environment is given up. */
  environmentStartsMax: 3,
  /** Bytes of a workingDir, without what `excludes` leaves out (Ray: 100 MiB). */
  workingDirBytesMax: 100 << 20,
  /** Files of a workingDir: more are a mistake, such as a tree of packages that `npm` should install. */
  workingDirFilesMax: 50_000,
  /** How long the npm packages of an environment may take to install (ms; Ray: 600 s). */
  npmInstallMs: 600_000,
  /** Worker processes of one node, below the segment's 512 clients. Beyond it requests wait, and the driver is warned. */
  workersMax: 480,
  /** Worker processes starting at once: enough for twenty actors, not so many that none of them gets anywhere. */
  workersStartingMax: 32,
  /** How long a worker that closed its channel may take to end before it is killed (ms). */
  workerExitMs: 5_000,
  /** First and longest pause before another worker is started after one failed to start (ms). */
  workerStartPauseMs: [500, 10_000],
  /** Tasks of one class that need no CPU running at once, at least; twice the number of CPUs where that is more. Only a process limit: one more each `cpulessGrowthMs`. */
  cpulessTasksMax: 16,
  /** First and longest pause before one more task without CPU than that may run, so that tasks that wait for each other get on (ms; Ray: 1 s to 10 s). */
  cpulessGrowthMs: [1_000, 10_000],
  /** First and longest pause before one more task is begun of a kind of which some wait for children that wait for a worker (ms): they may wait for it. */
  beginAnewMs: [2_000, 30_000],
  /** How long a request may be passed over by others that fit before they are held back for it (ms). */
  starvedAfterMs: 200,
  /** First and longest time that others are held back for a starved request (ms); after each they get half of it to themselves, since it may wait for them. */
  holdBackMs: [500, 30_000],
  /** How long a process may take to answer a question of the state API before the answer goes without it (ms). */
  questionMs: 1_000,
  /** How often a worker that may leave looks whether others still need what it owns (ms). */
  leaveAgainMs: 100,
  /** After how many such looks, each time, it asks all processes to collect the garbage that may be all that needs it. */
  leaveCollectEvery: 10,
  /** Bytes that each process keeps of how objects in the store were made, to make them again when they are lost (Ray: 1 GB). A recipe takes about 1 KiB and its arguments. */
  lineageBytesMax: 64 << 20,
  /** How long a node keeps what a dead process owned, for others that may still borrow it (ms): they hear of the death a little later. */
  adoptionGraceMs: 10_000,
  /**
   * Deaths of processes each process remembers, so that it sends them nothing more (about 300 bytes each). One forgotten costs a message that finds nobody. A
   * node remembers beyond that those of whom it keeps objects.
   */
  deadOwnersKept: 1_000,
  /** Deaths of nodes that each process and the head remember (Ray: 1000). One that comes back is another node. */
  deadNodesKept: 1_000,
  /** Jobs that have ended, kept for the state API. */
  endedJobsKept: 1_000,
  /** Dead actors kept for late callers and the state API. */
  deadActorsKept: 10_000,
  /** First and longest pause before an actor that died right after its start is restarted (ms). */
  actorRestartMs: [100, 5_000],
  /** Actors alive at once in a cluster, and bytes of all their code and constructor arguments, which the head keeps to restart them. Creation beyond fails. */
  actorsMax: 100_000,
  actorBytesMax: 256 << 20,
  /** Actors that somebody asks about before they are created: the oldest are told that there is none. */
  unbornActorsMax: 100_000,
  /** How long a node may be silent before it counts as dead (ms); `eagleray start --head` sets it. Ray: about 15 s. */
  nodeDeadAfterMs: 10_000,
  /** The least that may be set: nodes beat four times in it, and what is shorter than a pause of garbage collection ends nodes that are well (ms). */
  nodeDeadAfterMsMin: 100,
  /** How often the head looks for silent nodes, at most (ms). */
  silenceCheckMs: 500,
  /** How often a node tells the head that it lives, and at most how often that something is free or taken (ms). */
  beatIdleMs: 2_000,
  beatMs: 100,
  /** How often the head tells the nodes what changed on the others, for so many nodes; with more of them less often (ms). */
  viewEveryMs: 100,
  viewNodesPerInterval: 100,
  /** How long an actor may wait for room on a node before that gives it back to the head, where there are other nodes (ms). */
  placeWaitMs: 2_000,
  /** Kinds of what waits on a node that it tells the head of. */
  demandsTold: 100,
  /** How long the storage of a head may be away before the head gives up (ms). Nodes go on, and find the next one. */
  storageWaitMs: 60_000,
  /** What a head holds back until it is kept, in messages; beyond it the head gives up. */
  heldBackMax: 1_000_000,
  /** Bytes of all key-values of a cluster. */
  kvBytesMax: 64 << 20,
  /** Messages and bytes for the head that a node keeps while it is away; beyond it actors cannot be created there, and questions are answered with nothing. */
  headQueueMax: 100_000,
  headQueueBytesMax: 256 << 20,
  /** Output lines of a worker sent to the driver at once, and how long they are collected for that (ms). */
  logBatchLines: 64,
  logBatchMs: 10,
  /** Bytes of one line of worker output; longer ones are cut into several. */
  logLineBytesMax: 64 * 1024,
  /** Bytes kept of each output stream of a worker in the session's logs; what comes later is only shown. */
  logFileBytesMax: 16 << 20,
  /** What a link to another node has in flight at most: enough for a round trip of 10 ms at 1.5 GB/s. */
  linkWindowBytes: 16 << 20,
  linkWindowPackets: 1024,
  /** Bytes of frames one process may have sent to a process of another node that have not been handled there; and how many are handled before that is said. */
  routeWindowBytes: 4 << 20,
  routeCreditBytes: 1 << 20,
  /** How long what is for a node that nobody here has heard of is kept, until the head tells of it (ms). */
  unknownNodeMs: 30_000,
  /** Links of one process: nodes of a cluster, and more than there are. */
  linksMax: 4096,
  /** Above this many bytes for one node, sent or waiting, the processes here are asked to hold back what is for it. */
  linkFullBytes: 32 << 20,
  /** Bytes kept for one node at most; beyond it the link is given up. Only messages of daemons come this far. */
  linkBytesMax: 256 << 20,
  /** Received packets are acknowledged after this many bytes or packets, or this long (ms). */
  linkAckBytes: 1 << 20,
  linkAckPackets: 64,
  linkAckMs: 100,
  /** First and longest pause before a peer is asked what has arrived (ms), and how often it is asked before the link counts as down. */
  linkProbeMs: [500, 2_000],
  linkProbesMax: 4,
  /** First and longest pause between attempts to get to know a peer (ms). */
  linkHelloMs: [100, 1_000],
  /** How often at most the log tells of the same refused peer (ms), and how many such peers are told apart. */
  refusalLogMs: 60_000,
  refusalsKept: 1_000,
  /** How often an idle connection between nodes is looked at (ms); after four such times without a sign of life it is made anew. */
  heartbeatMs: 1_000,
  /** How long a stranger may take to shake hands (ms). */
  handshakeMs: 5_000,
  /** First and longest pause before a connection that failed is tried again (ms). */
  reconnectMs: [50, 400],
  /** The same for a peer that ends our connections before their handshake (ms). */
  turnedAwayMs: [50, 5_000],
  /** Bytes of one packet on a link; a message that is larger is an error. Also what a stranger can make us allocate. */
  linkPacketBytesMax: 64 << 20,
  /** Share of a node's store that objects on their way in, or not read yet, may take. Ray: 0.7 for arguments. One larger object may come alone. */
  pullShare: 0.5,
  /** Bytes that a source is asked for at once: large enough that asking costs nothing, small enough to be spread over sources and passed on early. Ray: 5 MiB. */
  pieceBytes: 4 << 20,
  /** Pieces that one source is asked for ahead, so that none has to wait for a question. */
  piecesAhead: 3,
  /** How long an object that was brought here is pinned for who asked for it (ms). Afterwards it may go, and is brought again when it is wanted. */
  pullHoldMs: 2_000,
  /** How long a task that was run again waits until its node has given up a copy of what it made before, and how often it looks (ms). */
  copyGoneWaitMs: 15_000,
  copyGoneLookMs: 10,
  /** How soon room is looked for again, and after how long without any a pull fails (ms). */
  pullRoomRetryMs: 50,
  pullRoomWaitMs: 30_000,
  /** An owner that has not answered is asked again after this (ms). */
  locateAgainMs: 10_000,
  /** First and longest pause after which a node tells owners elsewhere what it has of theirs (ms), of how many objects in one message, and how often it looks: at least so far apart, and so many times as far as a look takes. */
  copiesHeldMs: [5_000, 60_000],
  copiesHeldMax: 1_000,
  copiesHeldLookMs: 5_000,
  copiesHeldLookShare: 200,
  /** First and longest pause before an owner is asked again when no source it named had the object, or could be reached (ms); and how often. */
  locatePauseMs: [50, 2_000],
  locateRoundsMax: 12,
  /** Pieces of objects that leave a node at once; and of these for one other node, which takes one after the other: a second is ready by then. One that takes none holds up no more. */
  servesMax: 16,
  servesPerPeerAtOnce: 2,
  /** Pieces that one other node may have asked for. Beyond it is refused. */
  servesPerPeerMax: 256,
  /** How long a data connection may take until both sides have proved who they are, and how long bytes that are due may not come (ms). */
  dataHandshakeMs: 5_000,
  dataStallMs: 10_000,
  /** Data connections to one node. */
  dataConnectionsMax: 2_048,
  /** Nodes that an owner sends to one copy of an object at once; the next are sent to those that are getting it, so that a broadcast forms a tree. */
  pullsPerCopyMax: 2,
  /** Sources that an owner names at once. */
  sourcesMax: 4,
} as const
