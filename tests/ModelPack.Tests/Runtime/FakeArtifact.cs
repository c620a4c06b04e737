using System.Runtime.InteropServices;
using ModelPack.Runtime.Loading;

namespace ModelPack.Tests.Runtime;

/// <summary>An artifact in memory: what the runtime sees of one, without the file.</summary>
internal sealed class FakeArtifact : IWeightSource
{
    public Dictionary<string, TensorData> Blobs { get; } = [];

    public Dictionary<(string Tensor, string Role), WeightBytes> Streams { get; } = [];

    public Dictionary<string, WeightBytes> Tensors { get; } = [];


    public FakeArtifact Graph(byte[] model, params InitializerBinding[] bindings)
    {
        Blobs["execution-graph"] = TensorData.FromBytes(model);
        Blobs["plan"] = TensorData.FromBytes(ExecutionPlanJson.Write(new ExecutionPlan("generic", [.. bindings], [])));
        return this;
    }

    public FakeArtifact Tensor<T>(string name, DType dtype, T[] values)
        where T : unmanaged
    {
        Tensors[name] = new WeightBytes(dtype, TensorData.FromBytes(MemoryMarshal.AsBytes(values.AsSpan()).ToArray()));
        return this;
    }

    public FakeArtifact Stream<T>(string name, string role, DType dtype, T[] values)
        where T : unmanaged
    {
        Streams[(name, role)] = new WeightBytes(dtype, TensorData.FromBytes(MemoryMarshal.AsBytes(values.AsSpan()).ToArray()));
        return this;
    }

    public TensorData? Blob(string name) => Blobs.GetValueOrDefault(name);

    public bool HasTensor(string tensor) => Tensors.ContainsKey(tensor) || Streams.Keys.Any(k => k.Tensor == tensor);

    public WeightBytes Dense(string tensor, DType dtype) => Tensors[tensor];

    public WeightBytes Stream(string tensor, string role) =>
        Streams.TryGetValue((tensor, role), out WeightBytes bytes) ? bytes : throw new ModelPackException(ErrorCodes.BadPlan, $"no stream '{role}'", tensor: tensor);

}
