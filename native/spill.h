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

#include <cstdint>
#include <memory>
#include <span>

#include "status.h"

namespace eagleray {

class Segment;
class Store;

// Takes objects out of the heap until `bytes` of it came free or no more can go; gives how many bytes did. kDiskFull, or kSystem when
// the disk fails; what is in memory stays there then. One thread a process at a time; others wait for it.
Result<uint64_t> spill_objects(Store& store, uint64_t bytes);

// kDiskFull when so many more bytes would leave too little of the file system for others.
Status check_disk_room(Segment& segment, uint64_t bytes);

// A file of spilled objects, or a part of one, mapped for as long as somebody refers to it.
class DiskMapping {
 public:
  // `writable`: shared, for making an object in place; else private, for looking at one.
  static Result<std::shared_ptr<DiskMapping>> map(Segment& segment, uint64_t serial, uint64_t offset, uint64_t length, bool writable);
  ~DiskMapping();
  DiskMapping(const DiskMapping&) = delete;
  DiskMapping& operator=(const DiskMapping&) = delete;
  std::byte* data() const { return base_ + before_; }

 private:
  DiskMapping(std::byte* base, uint64_t before, uint64_t length) : base_(base), before_(before), length_(length) {}
  std::byte* base_;
  uint64_t before_;  // from the page that it begins in to what was asked for
  uint64_t length_;  // from the base on
};

// Reads [offset, offset + length) of the file of spilled objects of that serial number. kSystem when the disk fails or the file or the
// directory is not what it should be.
Status read_spilled(Segment& segment, uint64_t serial, uint64_t offset, std::byte* target, uint64_t length);

// Writes there, making the file when it is new. kDiskFull when the file system is full.
Status write_spilled(Segment& segment, uint64_t serial, uint64_t offset, const std::byte* bytes, uint64_t length);

// Reserves [offset, offset + length), so that writing there cannot lack room; makes the file when it is new. kDiskFull as above.
Status reserve_spilled(Segment& segment, uint64_t serial, uint64_t offset, uint64_t length);

// Gives back what was written from there on, as far as it can.
void cut_spilled(Segment& segment, uint64_t serial, uint64_t offset);

struct DiskRange {
  uint64_t begin;
  uint64_t end;
};

// Makes holes of the ranges, and gives how many bytes of them became holes. Where the file system has none, the room comes back with the
// file.
uint64_t punch_spilled(Segment& segment, uint64_t serial, std::span<const DiskRange> ranges);

}  // namespace eagleray
