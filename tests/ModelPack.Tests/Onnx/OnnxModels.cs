using System.Runtime.InteropServices;
using Google.Protobuf;
using ModelPack.Containers.Onnx.Schema;
using ModelPack.Testing;
using DataType = ModelPack.Containers.Onnx.Schema.TensorProto.Types.DataType;
using Kind = ModelPack.Containers.Onnx.Schema.AttributeProto.Types.AttributeType;

namespace ModelPack.Tests.Onnx;

/// <summary>Small ONNX models made with the generated message classes.</summary>
internal static class OnnxModels
{
    public static ModelProto Model(GraphProto graph, long opset = 17, long ir = 8) => new()
    {
        IrVersion = ir,
        ProducerName = "test",
        OpsetImport = { new OperatorSetIdProto { Domain = "", Version = opset } },
        Graph = graph,
    };

    public static byte[] ToBytes(this ModelProto model) => model.ToByteArray();

    public static string Save(this ModelProto model, TempFolder folder, string name = "model.onnx") => folder.Write(name, model.ToByteArray());

    public static ValueInfoProto Value(string name, DataType type, params object[] dims)
    {
        var shape = new TensorShapeProto();
        foreach (object dim in dims)
        {
            shape.Dim.Add(dim is string symbol ? new() { DimParam = symbol } : new TensorShapeProto.Types.Dimension { DimValue = Convert.ToInt64(dim, null) });
        }

        return new ValueInfoProto { Name = name, Type = new TypeProto { TensorType = new() { ElemType = (int)type, Shape = shape } } };
    }

    public static NodeProto Node(string op, string[] inputs, string[] outputs, params AttributeProto[] attributes) =>
        new() { OpType = op, Input = { inputs }, Output = { outputs }, Attribute = { attributes } };

    public static AttributeProto Attribute(string name, long value) => new() { Name = name, Type = Kind.Int, I = value };

    public static AttributeProto Attribute(string name, TensorProto value) => new() { Name = name, Type = Kind.Tensor, T = value };

    public static AttributeProto Attribute(string name, GraphProto value) => new() { Name = name, Type = Kind.Graph, G = value };

    public static TensorProto Raw(string name, DataType type, long[] dims, ReadOnlySpan<byte> bytes) =>
        new() { Name = name, DataType = (int)type, Dims = { dims }, RawData = ByteString.CopyFrom(bytes) };

    public static TensorProto Floats(string name, long[] dims, params float[] values) => Raw(name, DataType.Float, dims, MemoryMarshal.AsBytes(values.AsSpan()));

    public static TensorProto Ints(string name, long[] dims, params long[] values) => Raw(name, DataType.Int64, dims, MemoryMarshal.AsBytes(values.AsSpan()));

    public static float[] Random(int count, ulong seed)
    {
        var random = new SplitMix(seed);
        float[] values = new float[count];
        for (int i = 0; i < count; i++)
        {
            values[i] = ((int)(random.Next() >> 40) - (1 << 23)) / (float)(1 << 23);
        }

        return values;
    }

    /// <summary>The same tensor with its elements in the typed field of its dtype. Sub-byte types: one packed byte per int32 entry.</summary>
    public static TensorProto Typed(TensorProto raw)
    {
        byte[] bytes = raw.RawData.ToByteArray();
        TensorProto typed = raw.Clone();
        typed.ClearRawData();
        switch ((DataType)raw.DataType)
        {
            case DataType.Float or DataType.Complex64:
                typed.FloatData.AddRange(MemoryMarshal.Cast<byte, float>(bytes).ToArray());
                break;
            case DataType.Double or DataType.Complex128:
                typed.DoubleData.AddRange(MemoryMarshal.Cast<byte, double>(bytes).ToArray());
                break;
            case DataType.Int64:
                typed.Int64Data.AddRange(MemoryMarshal.Cast<byte, long>(bytes).ToArray());
                break;
            case DataType.Uint64:
                typed.Uint64Data.AddRange(MemoryMarshal.Cast<byte, ulong>(bytes).ToArray());
                break;
            case DataType.Uint32:
                typed.Uint64Data.AddRange(MemoryMarshal.Cast<byte, uint>(bytes).ToArray().Select(v => (ulong)v));
                break;
            case DataType.Int32:
                typed.Int32Data.AddRange(MemoryMarshal.Cast<byte, int>(bytes).ToArray());
                break;
            case DataType.Int16:
                typed.Int32Data.AddRange(MemoryMarshal.Cast<byte, short>(bytes).ToArray().Select(v => (int)v));
                break;
            case DataType.Uint16 or DataType.Float16 or DataType.Bfloat16:
                typed.Int32Data.AddRange(MemoryMarshal.Cast<byte, ushort>(bytes).ToArray().Select(v => (int)v));
                break;
            case DataType.Int8:
                typed.Int32Data.AddRange(bytes.Select(v => (int)(sbyte)v));
                break;
            default:
                typed.Int32Data.AddRange(bytes.Select(v => (int)v));
                break;
        }

        return typed;
    }

    /// <summary>Everything the schema has: all places for tensors, all kinds of types and attributes, functions, training, annotations, unknown fields.</summary>
    public static ModelProto KitchenSink()
    {
        var then = new GraphProto { Name = "then", Output = { Value("r", DataType.Float, 2) }, Initializer = { Floats("w", [2], 1, 2) }, Node = { Node("Add", ["x", "w"], ["r"]) } };
        var inner = new GraphProto { Name = "inner", Output = { Value("q", DataType.Float, 2) }, Initializer = { Floats("w", [2], 5, 6) }, Node = { Node("Add", ["x", "w"], ["q"]) } };
        var otherwise = new GraphProto
        {
            Name = "else",
            DocString = "a branch in a branch",
            Output = { Value("s", DataType.Float, 2) },
            Node = { Node("If", ["c"], ["s"], Attribute("then_branch", inner), Attribute("else_branch", then.Clone())) },
        };
        NodeProto branch = Node("If", ["c"], ["y"], Attribute("then_branch", then), Attribute("else_branch", otherwise));
        branch.Name = "branch";
        branch.DocString = "documented";
        branch.MetadataProps.Add(Entry("namespace", "a/b"));
        branch.DeviceConfigurations.Add(new NodeDeviceConfigurationProto
        {
            ConfigurationId = "two",
            PipelineStage = 1,
            ShardingSpec =
            {
                new ShardingSpecProto
                {
                    TensorName = "y",
                    Device = { 0, 1 },
                    IndexToDeviceGroupMap = { new IntIntListEntryProto { Key = -1, Value = { 0, 1 } } },
                    ShardedDim = { new ShardedDimProto { Axis = 0, SimpleSharding = { new SimpleShardedDimProto { DimParam = "n", NumShards = 2 } } } },
                },
            },
        });

        NodeProto custom = Node("Strange", ["y", "", "weight"], ["z", ""]);
        custom.Domain = "org.example";
        custom.Overload = "v2";
        custom.Attribute.Add(AllAttributes());
        NodeProto standard = Node("Identity", ["z"], ["out"]);
        standard.Domain = "ai.onnx";

        var graph = new GraphProto
        {
            Name = "main",
            DocString = "graph",
            Input = { Value("x", DataType.Float, 2), Value("c", DataType.Bool) },
            Output = { Value("out", DataType.Float, "n", 3) },
            Node = { branch, custom, standard },
            Initializer = { Floats("weight", [2, 2], 1, 2, 3, 4), Typed(Ints("shape", [3], 1, -1, 1L << 40)), Strings("words", "a", "", "\u00e4\u00f6") },
            SparseInitializer = { Sparse("sparse") },
            QuantizationAnnotation = { new TensorAnnotation { TensorName = "weight", QuantParameterTensorNames = { Entry("SCALE_TENSOR", "s"), Entry("ZERO_POINT_TENSOR", "z") } } },
            MetadataProps = { Entry("graph key", "graph value") },
        };
        graph.Initializer[0].DocString = "a weight";
        graph.Initializer[0].MetadataProps.Add(Entry("k", "v"));
        graph.ValueInfo.Add(AllTypes());
        ModelProto model = Model(graph, 22, 13);
        model.OpsetImport.Insert(0, new OperatorSetIdProto { Domain = "org.example", Version = 3 });
        model.OpsetImport[1].Domain = "ai.onnx";
        model.ProducerVersion = "1.0";
        model.Domain = "org.example.models";
        model.ModelVersion = 77;
        model.DocString = "model";
        model.MetadataProps.Add([Entry("z", "1"), Entry("a", "2"), Entry("z", "")]);
        model.Configuration.Add(new DeviceConfigurationProto { Name = "two", NumDevices = 2, Device = { "cpu0", "cpu1" } });
        model.Functions.Add(Function());
        model.TrainingInfo.Add(new TrainingInfoProto
        {
            Initialization = new GraphProto { Name = "init", Initializer = { Floats("w0", [1], 3) }, Output = { Value("w0", DataType.Float, 1) } },
            Algorithm = new GraphProto { Name = "step", Initializer = { Floats("rate", [], 0.1f) } },
            InitializationBinding = { Entry("weight", "w0") },
            UpdateBinding = { Entry("weight", "new") },
        });
        return WithUnknownFields(model);
    }

    public static StringStringEntryProto Entry(string key, string value) => new() { Key = key, Value = value };

    public static TensorProto Strings(string name, params string[] values) =>
        new() { Name = name, DataType = (int)DataType.String, Dims = { values.Length }, StringData = { values.Select(ByteString.CopyFromUtf8) } };

    public static SparseTensorProto Sparse(string name) =>
        new() { Values = Floats(name, [2], 7, 8), Indices = Ints("", [2], 1, 5), Dims = { 2, 3 } };

    /// <summary>Re-parses the model with fields of numbers that the schema does not have, in several messages: a newer exporter's fields.</summary>
    public static ModelProto WithUnknownFields(ModelProto model)
    {
        byte[] unknown = [.. Tag(900, 0), 42, .. Tag(901, 2), 3, 1, 2, 3, .. Tag(902, 5), 1, 2, 3, 4, .. Tag(903, 1), 1, 2, 3, 4, 5, 6, 7, 8, .. Tag(904, 3), .. Tag(905, 0), 7, .. Tag(904, 4)];
        T Add<T>(T message)
            where T : IMessage<T>
        {
            message.MergeFrom(unknown);
            return message;
        }

        Add(model);
        Add(model.Graph);
        Add(model.Graph.Node[0]);
        Add(model.Graph.Node[0].Attribute[0]);
        Add(model.Graph.Initializer[0]);
        Add(model.Graph.Input[0]);
        Add(model.Graph.Input[0].Type);
        Add(model.Graph.Input[0].Type.TensorType);
        Add(model.Graph.Input[0].Type.TensorType.Shape);
        Add(model.Graph.Input[0].Type.TensorType.Shape.Dim[0]);
        Add(model.OpsetImport[0]);
        Add(model.MetadataProps[1]);
        Add(model.Functions[0]);
        Add(model.TrainingInfo[0]);
        Add(model.Graph.SparseInitializer[0]);
        return model;
    }

    public static byte[] Tag(int field, int wireType)
    {
        var bytes = new List<byte>();
        uint tag = ((uint)field << 3) | (uint)wireType;
        for (; tag >= 0x80; tag >>= 7)
        {
            bytes.Add((byte)(tag | 0x80));
        }

        bytes.Add((byte)tag);
        return [.. bytes];
    }

    private static AttributeProto[] AllAttributes() =>
    [
        new() { Name = "f", Type = Kind.Float, F = 0.5f, DocString = "half" },
        new() { Name = "i", Type = Kind.Int, I = long.MinValue },
        new() { Name = "s", Type = Kind.String, S = ByteString.CopyFrom(0xFF, 0x00, 0x80) },
        new() { Name = "t", Type = Kind.Tensor, T = Floats("", [], 1) },
        new() { Name = "g", Type = Kind.Graph, G = new GraphProto { Name = "g" } },
        new() { Name = "fs", Type = Kind.Floats, Floats = { 1, float.NaN, -0f } },
        new() { Name = "is", Type = Kind.Ints, Ints = { 1, -1 } },
        new() { Name = "ss", Type = Kind.Strings, Strings = { ByteString.Empty, ByteString.CopyFromUtf8("a") } },
        new() { Name = "ts", Type = Kind.Tensors, Tensors = { Floats("a", [1], 1), Floats("a", [1], 2) } },
        new() { Name = "gs", Type = Kind.Graphs, Graphs = { new GraphProto { Name = "g0", Initializer = { Floats("w", [1], 9) } }, new GraphProto { Name = "g1" } } },
        new() { Name = "st", Type = Kind.SparseTensor, SparseTensor = Sparse("") },
        new() { Name = "sts", Type = Kind.SparseTensors, SparseTensors = { Sparse("p"), Sparse("q") } },
        new() { Name = "tp", Type = Kind.TypeProto, Tp = new TypeProto { SequenceType = new() { ElemType = new TypeProto { TensorType = new() { ElemType = 1 } } } } },
        new() { Name = "tps", Type = Kind.TypeProtos, TypeProtos = { new TypeProto { Denotation = "IMAGE" } } },
        new() { Name = "empty", Type = Kind.Ints },
        new() { Name = "zero", Type = Kind.Int, I = 0 },
    ];

    private static ValueInfoProto[] AllTypes()
    {
        TypeProto floats = new() { TensorType = new() { ElemType = 1 } };
        ValueInfoProto denoted = Value("denoted", DataType.Float, "N", 3, 224);
        denoted.DocString = "an image";
        denoted.MetadataProps.Add(Entry("k", "v"));
        denoted.Type.Denotation = "IMAGE";
        denoted.Type.TensorType.Shape.Dim[0].Denotation = "DATA_BATCH";
        denoted.Type.TensorType.Shape.Dim.Add(new TensorShapeProto.Types.Dimension());
        return
        [
            denoted,
            Value("scalar", DataType.Int2),
            new() { Name = "no type" },
            new() { Name = "no shape", Type = floats },
            new() { Name = "sequence", Type = new TypeProto { SequenceType = new() { ElemType = floats.Clone() } } },
            new() { Name = "map", Type = new TypeProto { MapType = new() { KeyType = (int)DataType.String, ValueType = floats.Clone() } } },
            new() { Name = "optional", Type = new TypeProto { OptionalType = new() { ElemType = floats.Clone() } } },
            new() { Name = "sparse", Type = new TypeProto { SparseTensorType = new() { ElemType = 1, Shape = new TensorShapeProto() } } },
            new() { Name = "opaque", Type = new TypeProto { OpaqueType = new() { Domain = "d", Name = "n" } } },
            new() { Name = "newer dtype", Type = new TypeProto { TensorType = new() { ElemType = 99 } } },
        ];
    }

    private static FunctionProto Function() => new()
    {
        Name = "Strange",
        Domain = "org.example",
        Overload = "v2",
        DocString = "a function",
        Input = { "a", "b", "w" },
        Output = { "r", "e" },
        Attribute = { "required" },
        AttributeProto = { Attribute("scale", Floats("", [], 2)) },
        OpsetImport = { new OperatorSetIdProto { Version = 22 } },
        ValueInfo = { Value("r", DataType.Float, 2) },
        MetadataProps = { Entry("k", "v") },
        Node =
        {
            Node("Constant", [], ["k"], Attribute("value", Floats("", [2], 3, 4))),
            new NodeProto { OpType = "Op", Output = { "r" }, Attribute = { new AttributeProto { Name = "alpha", RefAttrName = "required", Type = Kind.Float } } },
        },
    };
}
