// SPDX-License-Identifier: Apache-2.0
// Objects on disk: taken out of the heap when it is full, read back when somebody wants them.
//
// Which object goes is decided by a hand that sweeps over the table like a clock's (CLOCK, Corbato 1968): an object that was made or
// viewed since the hand last passed is spared once. Only objects that nobody views can go. One that has a copy on disk already, from
// an earlier time out of the heap, goes without being written again. Copies of what other nodes have go first of all (secondaries.h).
//
// How it goes, with any process free to die at any instruction and readers that take no lock:
//   1. under the lock, pin it and give it a place in this process's file
//   2. write it, without the lock
//   3. under the lock: attach the copy; sealed -> evicting; look at the pins; evicting -> spilled, free the block; or back to sealed
// Between the two looks of step 3 a reader either has set its bit, and the object stays, or sees that the state has changed and
// takes its bit back. A rebuild turns evicting into sealed again: until it is spilled, the block is its own.
//
// How it comes back: under the lock a block, spilled -> restoring; read without the lock; restoring -> sealed. Where the heap has no
// room, because everything in it is viewed, the reader maps the file instead, so reading never waits for room.
#pragma once

#include <memory>
#include <string>

#include "status.h"

namespace eagleray {

class Segment;
class Store;

// Takes objects out of the heap until `bytes` of it came free or no more can go; gives how many bytes did. kDiskFull, or kSystem when
// the disk fails; what is in memory stays there then. One thread a process at a time; others wait for it.
Result<uint64_t> spill_objects(Store& store, uint64_t bytes);

// kDiskFull when so many more bytes would leave too little of the file system for others.
Status check_disk_room(const Segment& segment, uint64_t bytes);

// A file of spilled objects, or a part of one, mapped for as long as somebody refers to it.
class DiskMapping {
 public:
  // `writable`: shared, for making an object in place; else private, for looking at one.
  static Result<std::shared_ptr<DiskMapping>> map(const std::string& path, uint64_t offset, uint64_t length, bool writable);
  ~DiskMapping();
  DiskMapping(const DiskMapping&) = delete;
  DiskMapping& operator=(const DiskMapping&) = delete;
  std::byte* data() const { return data_; }

 private:
  DiskMapping(std::byte* data, uint64_t length) : data_(data), length_(length) {}
  std::byte* data_;
  uint64_t length_;
};

// Reads [offset, offset + length) of a file of spilled objects. kSystem when the disk fails or the file is not what it should be.
Status read_spilled(const std::string& path, uint64_t offset, std::byte* target, uint64_t length);

// Writes there, making the file when it is new. kDiskFull when the file system is full.
Status write_spilled(const std::string& path, uint64_t offset, const std::byte* bytes, uint64_t length);

// Makes the file of an object that is made on disk. kDiskFull when the file system is full.
Status make_disk_object(const std::string& path, uint64_t bytes);

}  // namespace eagleray
