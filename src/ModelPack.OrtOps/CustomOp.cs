using System.Runtime.InteropServices;

namespace ModelPack.OrtOps;

/// <summary>struct OrtCustomOp of ONNX Runtime's C interface: a version and callbacks.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct CustomOp
{
    public uint Version;
    public void* CreateKernel;
    public delegate* unmanaged<CustomOp*, byte*> GetName;
    public delegate* unmanaged<CustomOp*, byte*> GetExecutionProviderType;
    public delegate* unmanaged<CustomOp*, nuint, int> GetInputType;
    public delegate* unmanaged<CustomOp*, nuint> GetInputTypeCount;
    public delegate* unmanaged<CustomOp*, nuint, int> GetOutputType;
    public delegate* unmanaged<CustomOp*, nuint> GetOutputTypeCount;
    public void* KernelCompute;
    public delegate* unmanaged<nint, void> KernelDestroy;
    public delegate* unmanaged<CustomOp*, nuint, int> GetInputCharacteristic;
    public delegate* unmanaged<CustomOp*, nuint, int> GetOutputCharacteristic;
    public delegate* unmanaged<CustomOp*, nuint, int> GetInputMemoryType;
    public delegate* unmanaged<CustomOp*, int> GetVariadicInputMinArity;
    public delegate* unmanaged<CustomOp*, int> GetVariadicInputHomogeneity;
    public delegate* unmanaged<CustomOp*, int> GetVariadicOutputMinArity;
    public delegate* unmanaged<CustomOp*, int> GetVariadicOutputHomogeneity;
    public delegate* unmanaged<CustomOp*, nint, nint, nint*, nint> CreateKernelV2;
    public delegate* unmanaged<nint, nint, nint> KernelComputeV2;
    public delegate* unmanaged<CustomOp*, nint, nint> InferOutputShape;
    public delegate* unmanaged<CustomOp*, int> GetStartVersion;
    public delegate* unmanaged<CustomOp*, int> GetEndVersion;
    public void* GetMayInplace;
    public void* ReleaseMayInplace;
    public void* GetAliasMap;
    public void* ReleaseAliasMap;
}
