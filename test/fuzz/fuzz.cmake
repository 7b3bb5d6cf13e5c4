# SPDX-License-Identifier: Apache-2.0
# libFuzzer targets of the library, with the address and undefined behaviour sanitizers: clang only.
#   cmake -S . -B build-native/fuzz -DEAGLERAY_FUZZ=ON -DCMAKE_CXX_COMPILER=clang++
if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  message(FATAL_ERROR "EAGLERAY_FUZZ needs clang: -DCMAKE_CXX_COMPILER=clang++")
endif()
add_library(eagleray_fuzz STATIC ${store_sources})
target_include_directories(eagleray_fuzz PUBLIC native)
target_compile_options(eagleray_fuzz PUBLIC -g -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
target_link_options(eagleray_fuzz PUBLIC -fsanitize=fuzzer,address,undefined)
target_link_libraries(eagleray_fuzz PUBLIC Threads::Threads)
foreach(name segment table channel)
  add_executable(${name}_fuzz test/fuzz/${name}_fuzz.cc)
  target_link_libraries(${name}_fuzz PRIVATE eagleray_fuzz)
endforeach()
