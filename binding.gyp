{
  # One addon from two lists: native/sources.txt (the store and the channels, which know nothing of Node) and native/bindings.txt.
  "targets": [
    {
      "target_name": "eagleray",
      "sources": [
        "<!@(node -p \"['sources','bindings'].map(n=>require('fs').readFileSync('native/'+n+'.txt','utf8').trim().split(/\\s+/).join(' ')).join(' ')\")"
      ],
      "include_dirs": [
        "native",
        "<!(node -p \"require('node-api-headers').include_dir\")",
        "<!(node -p \"require('node-addon-api').include_dir\")"
      ],
      "defines": ["NAPI_VERSION=9"],
      "cflags": ["-fvisibility=hidden"],
      "cflags_cc": ["-std=c++20", "-fno-exceptions", "-fno-rtti", "-fvisibility-inlines-hidden"],
      "cflags_cc!": ["-std=gnu++17", "-std=gnu++20"]
    }
  ]
}
