using System.Runtime.InteropServices;
using ModelPack.Kernels.MatMul;

namespace ModelPack.OrtOps;

/// <summary>
/// The operator <c>ai.modelpack::PackedGather</c>: Gather of ONNX along the first axis of a matrix W [rows, N] in a number format and in execution layout, of which only the rows asked for are decoded. Inputs: W u8 [bytes] (a constant, see
/// <see cref="PackedMatrix"/>; the same one that a PackedMatMul may read), indices i32 or i64 of any shape, from the end where below 0. Output: f32 [indices..., N], the bits of the decoded table. Attribute: <c>N</c> (for shape inference).
/// </summary>
internal sealed unsafe class PackedGather
{
    private const string Name = "PackedGather";

    private static byte* s_name;

    private readonly MatMulWeight _weight;

    /// <summary>
    /// The tiles: constant, so ONNX Runtime neither moves nor frees them before the kernel. Where not all weights stay in memory these rows are read past the window, which is for weights that are read whole.
    /// </summary>
    private readonly byte* _tiles;

    private PackedGather(MatMulWeight weight, byte* tiles)
    {
        _weight = weight;
        _tiles = tiles;
    }

    /// <summary>Fills in the callbacks.</summary>
    /// <param name="name">Name of the operator, zero-terminated, living as long as the process.</param>
    /// <param name="product">PackedMatMul, whose answers it shares where they are the same.</param>
    public static CustomOp Describe(byte* name, in CustomOp product)
    {
        s_name = name;
        CustomOp op = product;
        op.GetName = &GetName;
        op.GetInputType = &GetInputType;
        op.GetInputTypeCount = &GetTwo;
        op.GetInputCharacteristic = op.GetOutputCharacteristic;
        op.KernelDestroy = &Destroy;
        op.CreateKernelV2 = &Create;
        op.KernelComputeV2 = &Compute;
        op.InferOutputShape = &InferShape;
        return op;
    }

    [UnmanagedCallersOnly]
    private static byte* GetName(CustomOp* op) => s_name;

    [UnmanagedCallersOnly]
    private static int GetInputType(CustomOp* op, nuint index) => index == 0 ? OrtApi.UInt8 : OrtApi.Undefined;

    [UnmanagedCallersOnly]
    private static nuint GetTwo(CustomOp* op) => 2;

    [UnmanagedCallersOnly]
    private static void Destroy(nint kernel)
    {
        GCHandle handle = GCHandle.FromIntPtr(kernel);
        (handle.Target as PackedGather)?._weight.Dispose();
        handle.Free();
    }

    [UnmanagedCallersOnly]
    private static nint Create(CustomOp* op, nint api, nint info, nint* kernel)
    {
        try
        {
            nint status = PackedInput.Read(info, 0, Name, out PackedInput input);
            if (status != 0)
            {
                return status;
            }

            MatMulWeight? weight = PackedMatrix.Read(input.Data, input.LengthBytes);
            if (weight is null)
            {
                return OrtApi.Error(OrtApi.InvalidArgument, $"{Name}: a table of {input.LengthBytes} bytes that no kernel reads");
            }

            *kernel = GCHandle.ToIntPtr(GCHandle.Alloc(new PackedGather(weight, input.Data + PackedMatrix.HeaderBytes(weight.Format))));
            return 0;
        }
        catch (Exception e)
        {
            return OrtApi.Error(OrtApi.Fail, $"{Name}: {e.Message}");
        }
    }

    /// <summary>Dimensions of the indices, then N; nothing is said where one has neither size nor name.</summary>
    [UnmanagedCallersOnly]
    private static nint InferShape(CustomOp* op, nint context)
    {
        long n = 0;
        nint info = 0;
        nuint rank = 0;
        nint status = OrtApi.GetInferredInt(context, "N\0"u8, &n);
        status = status != 0 ? status : OrtApi.GetInferredInput(context, 1, &info);
        status = status != 0 ? status : OrtApi.GetRank(info, &rank);
        if (status != 0 || rank >= PackedMatMul.MaxRank)
        {
            return status;
        }

        long* dims = stackalloc long[PackedMatMul.MaxRank];
        byte** symbols = stackalloc byte*[PackedMatMul.MaxRank];
        byte none = 0;
        status = OrtApi.GetDimensions(info, dims, rank);
        status = status != 0 ? status : OrtApi.GetSymbols(info, symbols, rank);
        for (nuint i = 0; i < rank && status == 0; i++)
        {
            if (dims[i] < 0 && *symbols[i] == 0)
            {
                return 0;
            }
        }

        dims[rank] = n;
        symbols[rank] = &none;
        return status != 0 ? status : OrtApi.SetInferredShape(context, dims, symbols, rank + 1);
    }

    [UnmanagedCallersOnly]
    private static nint Compute(nint kernel, nint context)
    {
        try
        {
            return ((PackedGather)GCHandle.FromIntPtr(kernel).Target!).Compute(context);
        }
        catch (Exception e)
        {
            return OrtApi.Error(OrtApi.Fail, $"{Name}: {e.Message}");
        }
    }

    private nint Compute(nint context)
    {
        long* dims = stackalloc long[PackedMatMul.MaxRank];
        nint indices = 0;
        nuint rank = 0;
        long count = 0;
        int type = 0;
        nint status = OrtApi.GetInput(context, 1, &indices);
        status = status != 0 ? status : PackedMatMul.Shape(indices, dims, &rank, &count);
        status = status != 0 ? status : ElementType(indices, &type);
        if (status != 0)
        {
            return status;
        }

        if (type is not (OrtApi.Int32 or OrtApi.Int64) || rank >= PackedMatMul.MaxRank)
        {
            return OrtApi.Error(OrtApi.InvalidArgument, $"{Name}: the indices are not i32 or i64 of fewer than {PackedMatMul.MaxRank} dimensions");
        }

        dims[rank] = _weight.Layout.Columns;
        nint y = 0;
        void* from = null;
        float* to = null;
        status = OrtApi.GetOutput(context, 0, dims, rank + 1, &y);
        status = status != 0 ? status : OrtApi.GetData(indices, &from);
        status = status != 0 ? status : OrtApi.GetData(y, (void**)&to);
        for (long i = 0; i < count && status == 0; i++)
        {
            long row = type == OrtApi.Int64 ? ((long*)from)[i] : ((int*)from)[i];
            status = Row(row, to + (i * _weight.Layout.Columns));
        }

        return status;
    }

    private nint Row(long index, float* to)
    {
        int rows = _weight.Layout.Rows;
        long row = index < 0 ? index + rows : index;
        if (row < 0 || row >= rows)
        {
            return OrtApi.Error(OrtApi.InvalidArgument, $"{Name}: index {index} is outside of the table's {rows} rows");
        }

        _weight.DecodeRow(_tiles, (int)row, to);
        return 0;
    }

    private static nint ElementType(nint value, int* type)
    {
        nint info = 0;
        nint status = OrtApi.GetShapeInfo(value, &info);
        if (status == 0)
        {
            status = OrtApi.GetElementType(info, type);
            OrtApi.ReleaseShapeInfo(info);
        }

        return status;
    }
}
