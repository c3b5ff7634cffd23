# For CMAKE_ARGS when llama-cpp-python is compiled: leaves out what its Python package does not use, llama.cpp's common
# library with its web client, and compiles the small files of the model architectures several at a time.
#
#   CMAKE_ARGS="-DLLAVA_BUILD=OFF -DGGML_NATIVE=OFF -DCMAKE_PROJECT_INCLUDE=$PWD/plugins/library/llamacpp/llama_cpp.cmake"
if(PROJECT_NAME STREQUAL "llama.cpp")
    set(LLAMA_BUILD_COMMON OFF)
    set(CMAKE_UNITY_BUILD ON)
    set(CMAKE_UNITY_BUILD_BATCH_SIZE 12)
elseif(PROJECT_NAME STREQUAL "ggml")
    set(CMAKE_UNITY_BUILD OFF)
endif()
