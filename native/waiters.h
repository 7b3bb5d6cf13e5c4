// SPDX-License-Identifier: Apache-2.0
// Who wants to hear of seals and deletions. A client marks the bucket of the id it waits for and then looks whether the object is sealed
// already; a sealer seals and then looks at the bucket. Both in one total order (seq_cst), so at least one sees the other. Ids that
// share a bucket ring each other's waiters: spurious calls happen, lost ones do not.
#pragma once

#include "client.h"

namespace eagleray {

// Marks this client. The caller then looks for the object once more.
void expect_seal(Client& client, const ObjectId& id);
// Marks this client for every id. The caller then looks at all objects.
void expect_all(Client& client);
// After a seal or a deletion: takes the marks of the id's bucket and rings their bells.
void ring_waiters(Client& client, const ObjectId& id);
// After a death: makes every client look again, whether or not it is marked or asleep. Who died may have taken marks from a bucket,
// or a sleeper's flag, and not have rung: then nothing in the segment tells any more whom it owed a bell.
void rouse_all(Client& client);
// Forgets that a client waits.
void clear_waiter(Segment& segment, uint32_t slot);

}  // namespace eagleray
