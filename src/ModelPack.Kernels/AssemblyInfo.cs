// Kernels fill their scratch before they read it; clearing it first would cost as much as small products do.
[module: System.Runtime.CompilerServices.SkipLocalsInit]
