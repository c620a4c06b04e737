using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;

namespace ModelPack.OrtOps;

/// <summary>
/// What custom operators need of ONNX Runtime's C interface, straight from its table of functions: the same code serves a .NET host and a shared library without a runtime of its own. The table is append-only: an index holds
/// for every later version.
/// </summary>
internal static unsafe class OrtApi
{
    /// <summary>First version of the table with all functions below (ONNX Runtime 1.18).</summary>
    public const uint Version = 18;

    public const int Float = 1;
    public const int UInt8 = 2;
    public const int Int32 = 6;
    public const int Int64 = 7;

    /// <summary>Of an input that may have any element type.</summary>
    public const int Undefined = 0;
    public const int Fail = 1;
    public const int InvalidArgument = 2;

    // Positions in struct OrtApi.
    private const int CreateStatusIndex = 0;
    private const int CreateCustomOpDomainIndex = 26;
    private const int CustomOpDomainAddIndex = 27;
    private const int AddCustomOpDomainIndex = 28;
    private const int GetTensorMutableDataIndex = 51;
    private const int CreateTensorTypeAndShapeInfoIndex = 57;
    private const int SetTensorElementTypeIndex = 58;
    private const int SetDimensionsIndex = 59;
    private const int GetTensorElementTypeIndex = 60;
    private const int GetDimensionsCountIndex = 61;
    private const int GetDimensionsIndex = 62;
    private const int GetSymbolicDimensionsIndex = 63;
    private const int GetTensorTypeAndShapeIndex = 65;
    private const int KernelInfoGetAttributeInt64Index = 86;
    private const int KernelInfoGetAttributeStringIndex = 87;
    private const int KernelContextGetInputCountIndex = 88;
    private const int KernelContextGetInputIndex = 90;
    private const int KernelContextGetOutputIndex = 91;
    private const int ReleaseStatusIndex = 93;
    private const int ReleaseTensorTypeAndShapeInfoIndex = 99;
    private const int KernelInfoGetConstantInputIndex = 249;
    private const int ShapeInferContextGetInputTypeShapeIndex = 268;
    private const int ShapeInferContextGetAttributeIndex = 269;
    private const int ShapeInferContextSetOutputTypeShapeIndex = 270;
    private const int SetSymbolicDimensionsIndex = 271;
    private const int ReadOpAttrIndex = 272;
    private const int KernelContextParallelForIndex = 274;

    private static void** s_table;

    /// <summary>Names and positions of all functions used, for a test that compares them with the published header.</summary>
    internal static IReadOnlyDictionary<string, int> Indexes { get; } = new Dictionary<string, int>(StringComparer.Ordinal)
    {
        ["CreateStatus"] = CreateStatusIndex,
        ["CreateCustomOpDomain"] = CreateCustomOpDomainIndex,
        ["CustomOpDomain_Add"] = CustomOpDomainAddIndex,
        ["AddCustomOpDomain"] = AddCustomOpDomainIndex,
        ["GetTensorMutableData"] = GetTensorMutableDataIndex,
        ["CreateTensorTypeAndShapeInfo"] = CreateTensorTypeAndShapeInfoIndex,
        ["SetTensorElementType"] = SetTensorElementTypeIndex,
        ["SetDimensions"] = SetDimensionsIndex,
        ["GetTensorElementType"] = GetTensorElementTypeIndex,
        ["GetDimensionsCount"] = GetDimensionsCountIndex,
        ["GetDimensions"] = GetDimensionsIndex,
        ["GetSymbolicDimensions"] = GetSymbolicDimensionsIndex,
        ["GetTensorTypeAndShape"] = GetTensorTypeAndShapeIndex,
        ["KernelInfoGetAttribute_int64"] = KernelInfoGetAttributeInt64Index,
        ["KernelInfoGetAttribute_string"] = KernelInfoGetAttributeStringIndex,
        ["KernelContext_GetInputCount"] = KernelContextGetInputCountIndex,
        ["KernelContext_GetInput"] = KernelContextGetInputIndex,
        ["KernelContext_GetOutput"] = KernelContextGetOutputIndex,
        ["ReleaseStatus"] = ReleaseStatusIndex,
        ["ReleaseTensorTypeAndShapeInfo"] = ReleaseTensorTypeAndShapeInfoIndex,
        ["KernelInfoGetConstantInput_tensor"] = KernelInfoGetConstantInputIndex,
        ["ShapeInferContext_GetInputTypeShape"] = ShapeInferContextGetInputTypeShapeIndex,
        ["ShapeInferContext_GetAttribute"] = ShapeInferContextGetAttributeIndex,
        ["ShapeInferContext_SetOutputTypeShape"] = ShapeInferContextSetOutputTypeShapeIndex,
        ["SetSymbolicDimensions"] = SetSymbolicDimensionsIndex,
        ["ReadOpAttr"] = ReadOpAttrIndex,
        ["KernelContext_ParallelFor"] = KernelContextParallelForIndex,
    };

    /// <summary>The table that all calls go through; the same for every session of a process.</summary>
    public static void Use(void** table) => s_table = table;

    /// <summary>An error for ONNX Runtime, which takes ownership.</summary>
    public static nint Error(int code, string message)
    {
        Span<byte> utf8 = stackalloc byte[512];
        Encoding.UTF8.TryGetBytes(message.AsSpan(0, Math.Min(message.Length, 160)), utf8[..^1], out int written);
        utf8[written] = 0;
        fixed (byte* text = utf8)
        {
            return ((delegate* unmanaged<int, byte*, nint>)s_table[CreateStatusIndex])(code, text);
        }
    }

    public static void ReleaseStatus(nint status) => ((delegate* unmanaged<nint, void>)s_table[ReleaseStatusIndex])(status);

    public static nint CreateDomain(byte* name, nint* domain) => ((delegate* unmanaged<byte*, nint*, nint>)s_table[CreateCustomOpDomainIndex])(name, domain);

    public static nint AddOp(nint domain, void* op) => ((delegate* unmanaged<nint, void*, nint>)s_table[CustomOpDomainAddIndex])(domain, op);

    public static nint AddDomain(nint options, nint domain) => ((delegate* unmanaged<nint, nint, nint>)s_table[AddCustomOpDomainIndex])(options, domain);

    public static nint GetInt(nint info, ReadOnlySpan<byte> name, long* value)
    {
        fixed (byte* text = name)
        {
            return ((delegate* unmanaged<nint, byte*, long*, nint>)s_table[KernelInfoGetAttributeInt64Index])(info, text, value);
        }
    }

    /// <summary>A text attribute; null and a status when it is not there.</summary>
    public static nint GetText(nint info, ReadOnlySpan<byte> name, out string? value)
    {
        var get = (delegate* unmanaged<nint, byte*, byte*, nuint*, nint>)s_table[KernelInfoGetAttributeStringIndex];
        nuint size = 0;
        value = null;
        fixed (byte* text = name)
        {
            nint status = get(info, text, null, &size);
            if (status != 0)
            {
                return status;
            }

            byte[] bytes = new byte[Math.Max(1, size)];
            fixed (byte* buffer = bytes)
            {
                status = get(info, text, buffer, &size);
                value = status == 0 ? Encoding.UTF8.GetString(MemoryMarshal.CreateReadOnlySpanFromNullTerminated(buffer)) : null;
                return status;
            }
        }
    }

    /// <summary>A constant input; 0 when it is none.</summary>
    public static nint GetConstantInput(nint info, nuint index, nint* value)
    {
        int isConstant = 0;
        nint status = ((delegate* unmanaged<nint, nuint, int*, nint*, nint>)s_table[KernelInfoGetConstantInputIndex])(info, index, &isConstant, value);
        *value = status == 0 && isConstant != 0 ? *value : 0;
        return status;
    }

    public static nint GetInputCount(nint context, nuint* count) => ((delegate* unmanaged<nint, nuint*, nint>)s_table[KernelContextGetInputCountIndex])(context, count);

    public static nint GetInput(nint context, nuint index, nint* value) => ((delegate* unmanaged<nint, nuint, nint*, nint>)s_table[KernelContextGetInputIndex])(context, index, value);

    public static nint GetOutput(nint context, nuint index, long* dims, nuint rank, nint* value) =>
        ((delegate* unmanaged<nint, nuint, long*, nuint, nint*, nint>)s_table[KernelContextGetOutputIndex])(context, index, dims, rank, value);

    public static nint GetData(nint value, void** data) => ((delegate* unmanaged<nint, void**, nint>)s_table[GetTensorMutableDataIndex])(value, data);

    public static nint GetShapeInfo(nint value, nint* info) => ((delegate* unmanaged<nint, nint*, nint>)s_table[GetTensorTypeAndShapeIndex])(value, info);

    public static nint GetElementType(nint info, int* type) => ((delegate* unmanaged<nint, int*, nint>)s_table[GetTensorElementTypeIndex])(info, type);

    public static nint GetRank(nint info, nuint* rank) => ((delegate* unmanaged<nint, nuint*, nint>)s_table[GetDimensionsCountIndex])(info, rank);

    public static nint GetDimensions(nint info, long* dims, nuint rank) => ((delegate* unmanaged<nint, long*, nuint, nint>)s_table[GetDimensionsIndex])(info, dims, rank);

    public static nint GetSymbols(nint info, byte** symbols, nuint rank) => ((delegate* unmanaged<nint, byte**, nuint, nint>)s_table[GetSymbolicDimensionsIndex])(info, symbols, rank);

    public static nint CreateShapeInfo(nint* info) => ((delegate* unmanaged<nint*, nint>)s_table[CreateTensorTypeAndShapeInfoIndex])(info);

    public static nint SetElementType(nint info, int type) => ((delegate* unmanaged<nint, int, nint>)s_table[SetTensorElementTypeIndex])(info, type);

    public static nint SetDimensions(nint info, long* dims, nuint rank) => ((delegate* unmanaged<nint, long*, nuint, nint>)s_table[SetDimensionsIndex])(info, dims, rank);

    public static nint SetSymbols(nint info, byte** symbols, nuint rank) => ((delegate* unmanaged<nint, byte**, nuint, nint>)s_table[SetSymbolicDimensionsIndex])(info, symbols, rank);

    public static void ReleaseShapeInfo(nint info) => ((delegate* unmanaged<nint, void>)s_table[ReleaseTensorTypeAndShapeInfoIndex])(info);

    public static nint GetInferredInput(nint context, nuint index, nint* info) =>
        ((delegate* unmanaged<nint, nuint, nint*, nint>)s_table[ShapeInferContextGetInputTypeShapeIndex])(context, index, info);

    public static nint SetInferredOutput(nint context, nuint index, nint info) =>
        ((delegate* unmanaged<nint, nuint, nint, nint>)s_table[ShapeInferContextSetOutputTypeShapeIndex])(context, index, info);

    /// <summary>Says what the only output of a node is: f32 of these dimensions, which are numbers or, below 0, names.</summary>
    public static nint SetInferredShape(nint context, long* dims, byte** symbols, nuint rank)
    {
        nint output = 0;
        nint status = CreateShapeInfo(&output);
        if (status != 0)
        {
            return status;
        }

        status = SetElementType(output, Float);
        status = status != 0 ? status : SetDimensions(output, dims, rank);
        status = status != 0 ? status : SetSymbols(output, symbols, rank);
        status = status != 0 ? status : SetInferredOutput(context, 0, output);
        ReleaseShapeInfo(output);
        return status;
    }

    /// <summary>An integer attribute while shapes are inferred.</summary>
    public static nint GetInferredInt(nint context, ReadOnlySpan<byte> name, long* value)
    {
        const int intType = 1;
        nint attribute;
        fixed (byte* text = name)
        {
            nint status = ((delegate* unmanaged<nint, byte*, nint*, nint>)s_table[ShapeInferContextGetAttributeIndex])(context, text, &attribute);
            if (status != 0)
            {
                return status;
            }
        }

        nuint size = 0;
        return ((delegate* unmanaged<nint, int, void*, nuint, nuint*, nint>)s_table[ReadOpAttrIndex])(attribute, intType, value, sizeof(long), &size);
    }

    /// <summary>Runs a function for every index below <paramref name="total"/> on the session's threads.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static nint ParallelFor(nint context, delegate* unmanaged<void*, nuint, void> function, nuint total, void* data) =>
        ((delegate* unmanaged<nint, delegate* unmanaged<void*, nuint, void>, nuint, nuint, void*, nint>)s_table[KernelContextParallelForIndex])(context, function, total, 0, data);
}
