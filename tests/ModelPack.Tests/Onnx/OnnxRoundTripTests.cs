using Google.Protobuf;
using ModelPack.Compiler;
using ModelPack.Containers.Onnx;
using ModelPack.Containers.Onnx.Schema;
using ModelPack.Testing;
using Xunit;
using DataType = ModelPack.Containers.Onnx.Schema.TensorProto.Types.DataType;

namespace ModelPack.Tests.Onnx;

/// <summary>Export after import keeps every field; every dtype in every representation.</summary>
public sealed class OnnxRoundTripTests
{
    public static TheoryData<int> NumericTypes => [.. Enumerable.Range(1, 26).Where(n => n != (int)DataType.String)];

    [Fact]
    public void Export_of_everything_the_schema_has_keeps_it() => OnnxRoundTrip.AssertKept(OnnxModels.KitchenSink());

    [Fact]
    public void Import_models_what_passes_need()
    {
        using var folder = new TempFolder();
        using ImportedModel imported = OnnxModelReader.Import(OnnxModels.KitchenSink().Save(folder));
        Model model = imported.Model;
        Assert.Equal(ModelKind.Onnx, model.Kind);
        Assert.Equal(13, model.IrVersion);
        Assert.Equal(22, model.Opsets[""]);
        Assert.Equal(3, model.Opsets["org.example"]);
        Assert.Equal(["z", "a", "z"], model.Metadata.Select(m => m.Key));
        Assert.Equal(["x", "c"], model.Graph.Inputs.Select(i => i.Name));
        Assert.Equal(new Dimension(null, "n"), model.Graph.Outputs[0].Type.Dims[0]);
        Assert.Equal(3, model.Graph.Outputs[0].Type.Dims[1].Value);
        Assert.True(model.Graph.Nodes[2].Is("Identity"));
        Assert.Equal("y,,weight", string.Join(",", model.Graph.Nodes[1].Inputs));
        Assert.Equal(long.MinValue, model.Graph.Nodes[1].Int("i", 0));
        Assert.Equal(["then", "else"], model.Graph.Nodes[0].Subgraphs().Select(g => g.Name));
        Assert.Equal(new Shape(2, 3), model.Graph.SparseInitializers[0].Shape);
        Assert.IsType<AttributeValue.Reference>(model.Functions[0].Nodes[1].Attributes[0].Value);
        Assert.True(model.Graph.ValueInfos.Single(v => v.Name == "scalar").Type.Dims.IsEmpty);
        Assert.True(model.Graph.ValueInfos.Single(v => v.Name == "no shape").Type.Dims.IsDefault);
        Assert.False(model.Graph.ValueInfos.Single(v => v.Name == "sequence").Type.IsTensor);
        Assert.Equal([1, 0, 0, 0, (byte)'a', 0, 0, 0, 0, 4, 0, 0, 0, 0xC3, 0xA4, 0xC3, 0xB6], OnnxRoundTrip.Dense(model.Graph.Initializers[2]).ToArray());
    }

    [Theory]
    [MemberData(nameof(NumericTypes))]
    public void Export_keeps_tensors_of_every_dtype_raw_and_typed(int number)
    {
        var graph = new GraphProto { Name = "g" };
        foreach (long[] dims in new long[][] { [], [1], [3, 5], [257], [5000], [0], [4, 0, 2] })
        {
            var random = new SplitMix((ulong)number);
            long elements = dims.Aggregate(1L, (a, b) => a * b);
            byte[] bytes = new byte[OnnxDTypes.FromNumber(number).StorageBytes(elements)];
            random.Fill(bytes);
            if ((DataType)number is DataType.Float or DataType.Double or DataType.Complex64 or DataType.Complex128)
            {
                for (int i = 3; i < bytes.Length; i += 4)
                {
                    bytes[i] &= 0x3F; // no signalling NaN: the test's own float conversion may change those
                }
            }

            TensorProto raw = OnnxModels.Raw($"raw{graph.Initializer.Count}", (DataType)number, dims, bytes);
            graph.Initializer.Add(raw);
            TensorProto typed = OnnxModels.Typed(raw);
            typed.Name = $"typed{graph.Initializer.Count}";
            graph.Initializer.Add(typed);
        }

        ModelProto model = OnnxModels.Model(graph, 25, 13);
        OnnxRoundTrip.AssertKept(model);

        using var folder = new TempFolder();
        using ImportedModel imported = OnnxModelReader.Import(model.Save(folder));
        for (int i = 0; i < graph.Initializer.Count; i++)
        {
            Tensor tensor = imported.Model.Graph.Initializers[i];
            Assert.Equal(OnnxSemantics.Bytes(graph.Initializer[i], ""), OnnxRoundTrip.Dense(tensor).ToArray());
            Assert.Equal(graph.Initializer[i].Dims, tensor.Shape.Dims);
            Assert.Equal(number, OnnxDTypes.ToNumber(tensor.DType));
        }
    }

    [Fact]
    public void Dtype_table_has_a_number_for_every_onnx_type_and_back()
    {
        foreach (DataType type in Enum.GetValues<DataType>().Where(t => t != DataType.Undefined))
        {
            DType dtype = OnnxDTypes.FromNumber((int)type);
            Assert.NotEqual(DType.Undefined, dtype);
            Assert.Equal((int)type, OnnxDTypes.ToNumber(dtype));
        }

        Assert.Equal(0, OnnxDTypes.ToNumber(DType.F6E2M3));
        Assert.Equal(DType.Undefined, OnnxDTypes.FromNumber(27));
    }

    [Fact]
    public void Typed_data_reads_the_same_at_any_offset()
    {
        using var folder = new TempFolder();
        long[] values = [.. OnnxModels.Random(20_000, 5).Select((v, i) => (long)(v * (1L << (i % 60))))];
        var tensor = new TensorProto { Name = "w", DataType = (int)DataType.Int64, Dims = { values.Length }, Int64Data = { values } };
        using ImportedModel imported = OnnxModelReader.Import(OnnxModels.Model(new GraphProto { Initializer = { tensor } }).Save(folder));
        TensorData data = OnnxRoundTrip.Dense(imported.Model.Graph.Initializers[0]);
        byte[] expected = OnnxSemantics.Bytes(tensor, "");
        var random = new SplitMix(9);
        for (int i = 0; i < 300; i++)
        {
            int offset = random.Below(expected.Length);
            byte[] part = new byte[random.Between(0, Math.Min(70_000, expected.Length - offset))];
            data.Read(offset, part);
            Assert.True(expected.AsSpan(offset, part.Length).SequenceEqual(part), $"offset {offset} length {part.Length}");
        }
    }

    [Fact]
    public void String_data_reads_the_same_at_any_offset()
    {
        using var folder = new TempFolder();
        var random = new SplitMix(4);
        TensorProto tensor = OnnxModels.Strings("s", [.. Enumerable.Range(0, 5000).Select(i => new string((char)('a' + (i % 26)), random.Below(200)))]);
        using ImportedModel imported = OnnxModelReader.Import(OnnxModels.Model(new GraphProto { Initializer = { tensor } }).Save(folder));
        TensorData data = OnnxRoundTrip.Dense(imported.Model.Graph.Initializers[0]);
        byte[] expected = [.. tensor.StringData.SelectMany(s => BitConverter.GetBytes(s.Length).Concat(s.ToByteArray()))];
        Assert.Equal(expected, data.ToArray());
        for (int i = 0; i < 300; i++)
        {
            int offset = random.Below(expected.Length);
            byte[] part = new byte[random.Between(0, Math.Min(3000, expected.Length - offset))];
            data.Read(offset, part);
            Assert.True(expected.AsSpan(offset, part.Length).SequenceEqual(part), $"offset {offset} length {part.Length}");
        }
    }

    [Theory]
    [InlineData(7, 3)]
    [InlineData(9, 4)]
    [InlineData(13, 7)]
    [InlineData(21, 10)]
    [InlineData(26, 13)]
    public void Export_keeps_opset_and_ir_version(long opset, long ir)
    {
        GraphProto graph = new() { Name = "g", Input = { OnnxModels.Value("w", DataType.Float, 2) }, Initializer = { OnnxModels.Floats("w", [2], 1, 2) } };
        OnnxRoundTrip.AssertKept(OnnxModels.Model(graph, opset, ir));
    }

    [Fact]
    public void Export_raises_the_ir_version_to_what_the_dtypes_need()
    {
        using var folder = new TempFolder();
        foreach ((DataType type, long expected) in new[] { (DataType.Float, 4L), (DataType.Float8E4M3Fn, 9), (DataType.Int4, 10), (DataType.Float4E2M1, 11), (DataType.Float8E8M0, 12), (DataType.Uint2, 13) })
        {
            GraphProto graph = new() { Initializer = { OnnxModels.Raw("w", type, [8], new byte[OnnxDTypes.FromNumber((int)type).StorageBytes(8)]) } };
            string source = OnnxModels.Model(graph, 21, 3).Save(folder);
            OnnxRoundTrip.Copy(source, folder["copy.onnx"]);
            Assert.Equal(expected, OnnxSemantics.Load(folder["copy.onnx"]).IrVersion);
            OnnxSemantics.AssertSame(source, folder["copy.onnx"], ignoreIrVersion: true);
        }
    }

    [Fact]
    public void Export_of_changed_opsets_keeps_order_and_spelling_of_the_others()
    {
        using var folder = new TempFolder();
        using ImportedModel imported = OnnxModelReader.Import(OnnxModels.KitchenSink().Save(folder));
        Model changed = imported.Model with { Opsets = imported.Model.Opsets.SetItem("", 23).Add("com.microsoft", 1) };
        OnnxModelWriter.Write(changed, folder["copy.onnx"], OnnxRoundTrip.Dense);
        Assert.Equal(["org.example=3", "ai.onnx=23", "com.microsoft=1"], OnnxSemantics.Load(folder["copy.onnx"]).OpsetImport.Select(o => $"{o.Domain}={o.Version}"));
    }

    [Fact]
    public void Import_gives_absent_attribute_types_the_type_of_their_field()
    {
        using var folder = new TempFolder();
        AttributeProto[] untyped =
        [
            new() { Name = "i", I = 3 }, new() { Name = "f", F = 2 }, new() { Name = "s", S = ByteString.CopyFromUtf8("x") }, new() { Name = "is", Ints = { 1, 2 } },
            new() { Name = "t", T = OnnxModels.Floats("", [], 1) }, new() { Name = "fs", Floats = { 1 } }, new() { Name = "ss", Strings = { ByteString.Empty } },
        ];
        using ImportedModel imported = OnnxModelReader.Import(OnnxModels.Model(new GraphProto { Node = { OnnxModels.Node("Old", [], ["y"], untyped) } }, 7, 1).Save(folder));
        Assert.Equal(["Int", "Float", "Text", "Ints", "TensorValue", "Floats", "Texts"], imported.Model.Graph.Nodes[0].Attributes.Select(a => a.Value.GetType().Name));
    }
}
