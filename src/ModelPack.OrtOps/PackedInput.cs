namespace ModelPack.OrtOps;

/// <summary>A weight in execution layout that is a constant input of an operator: ONNX Runtime neither moves nor frees it before the kernel. Or one of this process, which the constant refers to.</summary>
/// <param name="data">Start of the tensor.</param>
/// <param name="lengthBytes">Its length.</param>
internal readonly unsafe struct PackedInput(byte* data, long lengthBytes)
{
    public byte* Data { get; } = data;

    public long LengthBytes { get; } = lengthBytes;

    /// <summary>Reads where an input is.</summary>
    /// <param name="info">OrtKernelInfo.</param>
    /// <param name="index">Which input.</param>
    /// <param name="op">Name of the operator, for errors.</param>
    /// <param name="input">The input.</param>
    /// <returns>0, or an OrtStatus.</returns>
    public static nint Read(nint info, nuint index, string op, out PackedInput input)
    {
        input = default;
        nint value = 0;
        nint status = OrtApi.GetConstantInput(info, index, &value);
        if (status != 0)
        {
            return status;
        }

        if (value == 0)
        {
            return OrtApi.Error(OrtApi.InvalidArgument, $"{op}: the weight is not a constant");
        }

        long* dims = stackalloc long[PackedMatMul.MaxRank];
        nuint rank = 0;
        long bytes = 0;
        byte* data = null;
        status = PackedMatMul.Shape(value, dims, &rank, &bytes);
        status = status != 0 ? status : OrtApi.GetData(value, (void**)&data);
        input = WeightReferences.Resolve(new PackedInput(data, bytes));
        return status;
    }
}
