// The translation unit that JSON is precompiled for; see CMakeLists.txt.
